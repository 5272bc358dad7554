#!/usr/bin/env bash
# Makes the archives from which alcove is installed where there is no Rust: the library and the
# executable for each target, in dist/, and their checksums in native/prebuilt.sha256, which the
# package has. See build-native.sh for how they are used.
#
#   scripts/dist.sh [TARGET...]     default: this machine
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
. scripts/rust.sh
use_cargo || { missing_rust >&2; exit 1; }
[ $# -gt 0 ] || set -- "$(rustc -vV | sed -n 's/^host: //p')"

work=$(mktemp -d "${TMPDIR:-/tmp}/alcove_dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p dist
for target in "$@"; do
    printf '\n== %s\n' "$target"
    env -u ALCOVE_PREBUILT CARGO_BUILD_TARGET="$target" MIX_APP_PATH="$work/$target" scripts/build-native.sh
    name=$(archive_name "$target")
    # The same files make the same archive.
    tar -cf - -C "$work/$target/priv" --owner=0 --group=0 --numeric-owner --mtime=@0 alcove alcove_nif.so |
        gzip -n9 >"$work/$name"
    mv -f "$work/$name" "dist/$name"
done

# The lines of archives that were made elsewhere stay.
touch native/prebuilt.sha256
for target in "$@"; do
    name=$(archive_name "$target")
    grep -vF "  $name" native/prebuilt.sha256 >"$work/sums" || :
    (cd ./dist && sha256sum "$name") >>"$work/sums"
    sort -k 2 "$work/sums" >native/prebuilt.sha256
done
printf '\n'
cat native/prebuilt.sha256
