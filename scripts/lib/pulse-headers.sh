# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # root and cache are common.sh's
# PulseAudio's module headers (pulsecore/*.h), which no Debian package has: out of the distribution's source
# package of exactly the installed version, into the cache folder. Sourced after common.sh and apt.sh.

# pulse_upstream_version: prints what modules must be built for, such as 16.1 or 17.0; the server refuses others.
pulse_upstream_version() {
    LC_ALL=C pulseaudio --version | awk 'NR == 1 { print $2 }'
}

# pulse_headers_dir: prints the folder that holds config.h and src/pulsecore/ for the installed version.
pulse_headers_dir() {
    local version
    version=$(dpkg-query -W -f '${source:Version}' pulseaudio) || return 1
    echo "$cache/pulseaudio-$version"
}

# write_source_list DIR: writes the user's own apt sources into DIR, once more as sources of source packages.
# Mirrors, suites and keyrings are the user's; nothing is fetched from a place he did not configure.
write_source_list() {
    local etc file
    etc=$(apt-config shell etc Dir::Etc/d) && eval "$etc"
    mkdir -p "$1"
    for file in "${etc:-/etc/apt/}"sources.list.d/*.sources; do
        [[ -e $file ]] || continue
        sed -E 's/^Types:.*/Types: deb-src/; /^Architectures:/d' "$file" >"$1/$(basename "$file")"
    done
    for file in "${etc:-/etc/apt/}"sources.list "${etc:-/etc/apt/}"sources.list.d/*.list; do
        [[ -e $file ]] || continue
        awk '$1 == "deb" || $1 == "deb-src" { $1 = "deb-src"; if (!seen[$0]++) print }' "$file" |
            sed -E 's/ arch=[^] ]+//; s/\[arch=[^] ]+ ?/[/; s/\[ *\] //' >"$1/$(basename "$file")"
    done
}

# private_apt_get STATE ARGUMENT...: apt-get on that list alone, with its lists and caches below STATE, so that
# the user's apt configuration stays untouched and no root is needed.
private_apt_get() {
    local state=$1
    shift
    mkdir -p "$state/lists/partial"
    local -a options=(
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$state/sources"
        -o "Dir::State::lists=$state/lists"
        -o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache="
        -o "Debug::NoLocking=true"
        -o "Acquire::Languages=none")
    [[ $EUID -eq 0 ]] && options+=(-o "APT::Sandbox::User=root")
    apt-get "${options[@]}" "$@"
}

# write_config_h FILE UPSTREAM_VERSION: the few macros that PulseAudio's headers and module metadata ask for.
write_config_h() {
    cat >"$1" <<END
/* Written by scripts/setup: what PulseAudio's module headers need of its build configuration. */
#define PACKAGE "pulseaudio"
#define PACKAGE_NAME "pulseaudio"
#define PACKAGE_VERSION "$2"
#define PA_MAJOR ${2%%.*}
#define GETTEXT_PACKAGE "pulseaudio"
#define ENABLE_NLS 1
#define HAVE_ATOMIC_BUILTINS 1
#define HAVE_ATOMIC_BUILTINS_MEMORY_MODEL 1
#define HAVE_PTHREAD 1
END
}

# download_pulse_source STATE VERSION: the upstream archive and Debian's changes, into the working directory. apt
# checks both against the signed index; the .dsc would only repeat what that says, and some mirrors lack it.
download_pulse_source() {
    private_apt_get "$1" -q update || echo "going on with the lists that did arrive"
    private_apt_get "$1" -q source --download-only --tar-only "pulseaudio=$2" &&
        private_apt_get "$1" -q source --download-only --diff-only "pulseaudio=$2" && return 0
    echo "Your apt sources have no source package pulseaudio $2, the version that is installed." >&2
    echo "Bring pulseaudio up to date (apt-get update, then apt-get install pulseaudio) and run this again." >&2
    return 1
}

# unpack_pulse_source TREE: the downloaded source with Debian's patches.
unpack_pulse_source() {
    local name
    mkdir "$1" &&
        tar -x --strip-components=1 -C "$1" -f pulseaudio_*.orig.tar.* &&
        tar -x -C "$1" -f pulseaudio_*.debian.tar.* || return 1
    while read -r name _; do
        [[ -z $name || $name == '#'* ]] || patch -s -d "$1" -p1 -i "debian/patches/$name" || return 1
    done <"$1/debian/patches/series"
}

# fetch_pulse_headers: makes pulse_headers_dir; complete or not there at all.
fetch_pulse_headers() {
    local version target work
    version=$(dpkg-query -W -f '${source:Version}' pulseaudio) || return 1
    target=$(pulse_headers_dir)
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    # shellcheck disable=SC2064 # the folder is known now
    trap "rm -rf '$work'" EXIT
    write_source_list "$work/sources"
    cd "$work" || return 1
    download_pulse_source "$work" "$version" && unpack_pulse_source tree || return 1
    mkdir result && cp -r tree/src result/src || return 1
    find result -type f ! -name '*.h' -delete
    find result -type d -empty -delete
    # PulseAudio's own build makes this one; libpulse-dev brings the same release's.
    cp "$(pkg-config --variable=includedir libpulse)/pulse/version.h" result/src/pulse/ || return 1
    write_config_h result/config.h "$(pulse_upstream_version)"
    rm -rf "$target"
    mv result "$target" # last, and at once: the folder is complete or not there
}
