# shellcheck shell=sh
# What is known of Debian: sourced by the scripts that make root directories of it, or build for it.

# The address below which debian/ and debian-security/ are: MIRROR, or where this system's apt has
# Debian from; nothing where it has none.
debian_mirror() {
    if [ -n "${MIRROR:-}" ]; then
        printf '%s\n' "$MIRROR"
        return
    fi
    # Either may be missing.
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || :; } |
        sed -nE 's#^(deb |URIs:).*(https?://[^ ]*)/debian/?( .*)?$#\2#p' | head -n 1
}

# The newest C library that files ask for, as 2.34; nothing where they are static.
libc_needed() {
    LC_ALL=C readelf -V "$@" | sed -n 's/.*Name: GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1
}

# Whether that is the version of a C library, and no newer than that of Debian 12, the oldest release that
# what is built here is for.
debian_has_libc() {
    [ -n "$1" ] && [ "$(printf '%s\n' 2.36 "$1" | sort -V | tail -n 1)" = 2.36 ]
}
