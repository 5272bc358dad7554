# shellcheck shell=sh
# Where Debian is had from: sourced by the scripts that make root directories of it.

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
