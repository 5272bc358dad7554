#!/usr/bin/env bash
# Says which links of the pages lead nowhere: files that aren't there, and headings of
# pages that aren't. Addresses of other machines aren't looked at.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."

# The names that headings have in addresses.
anchors() {
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

bad=0
for page in README.md CONTRIBUTING.md SECURITY.md docs/*.md; do
    # shellcheck disable=SC2016 # patterns
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

# The site, where it has been written: its pages, and what the search leads to.
if [ -d doc ]; then
    # Each record is what begins with a tag; in the index each line is an entry.
    awk '
        function attribute(name) {
            if (!match($0, "[ \n]" name "=\"[^\"]*\"")) return ""
            value = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
            gsub(/&quot;/, "\"", value); gsub(/&gt;/, ">", value); gsub(/&lt;/, "<", value); gsub(/&amp;/, "\\&", value)
            return value
        }
        function leads(link) {
            if (link ~ /^([a-z]+:|\/\/)/) return
            links[++count] = link
            from[count] = FILENAME
        }
        function wrong(page, what) {
            print page ": " what
            bad = 1
        }
        FNR == 1 { there[FILENAME] = 1 }
        FILENAME ~ /\.js$/ {
            if (split($0, part, /","/) >= 5) leads(part[4])
            next
        }
        /^[a-z]/ {
            if ((id = attribute("id")) != "" && places[FILENAME, id]++) wrong(FILENAME, id ": two places of that name")
            if ((href = attribute("href")) != "") leads(href)
            if ((src = attribute("src")) != "") leads(src)
        }
        END {
            for (i = 1; i <= count; i++) {
                page = from[i]
                place = ""
                link = links[i]
                if (at = index(link, "#")) {
                    place = substr(link, at + 1)
                    link = substr(link, 1, at - 1)
                }
                target = link == "" ? page : "doc/" link
                if (!(target in there) && system("test -e " target)) wrong(page, links[i] ": no such file")
                else if (place != "" && !((target, place) in places)) wrong(page, links[i] ": no such place")
            }
            exit bad
        }' RS='<' doc/*.html RS='\n' doc/search-index.js || bad=1
fi
exit "$bad"
