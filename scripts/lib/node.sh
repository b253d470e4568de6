# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # root and cache are common.sh's
# Node and the npm packages. Sourced after common.sh and apt.sh.

# install_node: the distribution's Node when it is new enough (Debian 13); else, because Debian 12 has Node 18, one
# from the npm registry in the cache folder, with an npm of its own: Debian's node-gyp links what it builds with
# Debian's libnode.
install_node() {
    local machine
    local -a missing
    mapfile -t missing < <(missing_packages nodejs npm)
    have_candidates nodejs npm || as_root apt-get update
    [[ ${#missing[@]} -eq 0 ]] || apt_install "${missing[@]}" || return 1
    hash -r
    use_node && return 0
    case $(uname -m) in
        x86_64) machine=x64 ;;
        aarch64) machine=arm64 ;;
        *) die "Node 20.19 or later is needed and $(uname -m) has no ready one: install it and run this again" ;;
    esac
    npm install --no-audit --no-fund --prefix "$cache/node" "node-linux-$machine@20" npm@10 || return 1
    use_node || die "Node 20.19 or later is needed: install it and run this again"
}

# node_prefix: prints the folder whose include/node holds the headers of the Node in use, if there is one:
# with it, node-gyp downloads none.
node_prefix() {
    local prefix
    prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
    [[ -e $prefix/include/node/node_version.h ]] && echo "$prefix"
}

# What pulseaudio2 needs to run for long: docs/upstream/README.md.
pulseaudio2_patches=("$root"/docs/upstream/pulseaudio2-*.patch)

# npm_stamp: prints what the installed npm packages depend on; native ones are built for one Node.
npm_stamp() {
    { cat "$root/package-lock.json" "${pulseaudio2_patches[@]}"; node -p 'process.execPath + process.version + process.arch'; } | sha256sum | cut -d' ' -f1
}

npm_is_current() {
    [[ $(cat "$root/node_modules/.xen-audio-stamp" 2>/dev/null) == "$(npm_stamp)" ]]
}

# check_native NAME: whether a package with an install script loads.
check_native() {
    (cd "$root" && node -e "require('$1')")
}

# npm_ci: installs the locked packages, mends pulseaudio2, and builds those of the two native ones that do not load yet.
npm_ci() {
    local prefix name
    cd "$root" || return 1
    if prefix=$(node_prefix); then
        export npm_config_nodedir=$prefix
    fi
    npm ci --ignore-scripts --no-audit --no-fund || return 1
    for name in "${pulseaudio2_patches[@]}"; do
        patch -p1 -d node_modules/pulseaudio2 <"$name" || return 1
    done
    for name in koffi pulseaudio2; do
        check_native "$name" 2>/dev/null && continue
        npm rebuild --foreground-scripts --ignore-scripts=false "$name"
        check_native "$name" && continue
        echo "the npm package $name is there but does not load: its install script did not run or failed." >&2
        echo "Allow it (npm config: ignore-scripts=false; npm 11: 'npm approve-scripts $name') and run again." >&2
        return 1
    done
    npm_stamp >node_modules/.xen-audio-stamp
}
