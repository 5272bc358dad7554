#!/usr/bin/env bash
# Says which links of the pages lead nowhere: files that aren't there, and headings of
# pages that aren't. Addresses of other machines aren't looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

# The names that headings have in addresses.
anchors() {
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

bad=0
for page in README.md docs/*.md; do
    while IFS= read -r link; do
        path=${link%%#*} anchor=
        case $link in
            *://* | mailto:*) continue ;;
            *'#'*) anchor=${link#*#} ;;
        esac
        target=$page
        [ -z "$path" ] || target=$(dirname "$page")/$path
        if [ ! -e "$target" ]; then
            echo "$page: $link: no such file"
            bad=1
        elif [ -n "$anchor" ] && ! anchors "$target" | grep -qxF -- "$anchor"; then
            echo "$page: $link: no such heading"
            bad=1
        fi
    done < <(sed '/^```/,/^```/d; s/`[^`]*`//g' "$page" | grep -oE '\]\([^)]+\)' | sed 's/^](//; s/)$//')
done

# What edoc wrote, where it has.
for page in doc/*.html; do
    [ -e "$page" ] || continue
    while IFS= read -r link; do
        case $link in
            *://* | mailto:*) continue ;;
        esac
        path=${link%%#*} target=$page
        # A module of OTP's has its page elsewhere.
        [ "${path%.html}" = "$path" ] || [ -e "lib/${path%.html}.erl" ] || [ -e "doc/$path" ] || continue
        [ -z "$path" ] || target=doc/$path
        if [ ! -e "$target" ]; then
            echo "$page: $link: no such file"
            bad=1
        elif [ "$link" != "${link#*#}" ] && ! grep -qF -e "name=\"${link#*#}\"" -e "id=\"${link#*#}\"" "$target"; then
            echo "$page: $link: no such place"
            bad=1
        fi
    done < <(grep -oE ' href="[^"]+"' "$page" | sed 's/^ href="//; s/"$//' | sort -u)
done
exit "$bad"
