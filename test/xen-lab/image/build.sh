#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: build.sh WORK GENERATED NODE
#
# Makes the files a machine boots from in WORK/out: xen, vmlinux, initrd.cpio, root.ext4, id_ed25519, packages.
# GENERATED is a folder of more files for the image, NODE the node binary that goes into it. Called by scripts/xen-lab,
# which removes WORK.
#
# Debian packages are downloaded by the host's apt, with its mirrors, keys and proxy but private state, and unpacked;
# their maintainer scripts do not run. What those would have set up, and the machines need, is set up here. So nothing
# needs root: an ordinary user's files belong to root inside a user namespace, and so they do in the image.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $EUID -ne 0 ]]; then
    unshare --map-root-user true 2>/dev/null || {
        echo "error: this user may not make user namespaces (unshare --map-root-user failed)" >&2
        echo "allow it (sysctl kernel.unprivileged_userns_clone=1, or AppArmor's restriction off), or run as root" >&2
        exit 1
    }
    exec unshare --map-root-user bash "${BASH_SOURCE[0]}" "$@"
fi

work=$1 generated=$2 node=$3
tree=$work/tree
out=$work/out

# progress TITLE COMMAND...: runs a step of the build; its name goes to the terminal (fd 3), its output to the log.
progress() {
    local title=$1 start=$EPOCHREALTIME
    shift
    echo "== $title"
    "$@"
    awk -v now="$EPOCHREALTIME" -v start="$start" -v title="$title" \
        'BEGIN { printf "  ok  %-44s %7.1f s\n", title, now - start }' >&3
}

# listed FILE: its lines without comments.
listed() {
    sed -e 's/#.*//' "$here/$1" | tr -s '[:space:]' '\n' | sed '/^$/d'
}

in_tree() {
    chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C "$@"
}

# private_apt_get ARGUMENT...: the host's apt-get and sources, for a system on which nothing is installed yet.
private_apt_get() {
    apt-get -q -y -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" \
        -o Dir::Cache="$work/apt" -o APT::Sandbox::User=root -o Debug::NoLocking=true \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none \
        -o APT::Install-Recommends=false -o Acquire::Retries=3 "$@"
}

download() {
    local -a alone whole
    mapfile -t alone < <(listed packages | sed -n 's/^-//p')
    mapfile -t whole < <(listed packages | grep -v '^-')
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
    : >"$work/apt/status"
    private_apt_get update
    private_apt_get install --download-only "${whole[@]}"
    (cd "$work/apt/archives" && private_apt_get download "${alone[@]}")
}

unpack() {
    local deb dir
    for dir in bin lib lib64 sbin; do # merged /usr: packages of Debian 12 still name both
        mkdir -p "$tree/usr/$dir"
        ln -s "usr/$dir" "$tree/$dir"
    done
    for deb in "$work"/apt/archives/*.deb; do
        case ${deb##*/} in
            linux-image-[0-9]*) dpkg-deb --extract "$deb" "$work/kernel" ;;
            *)
                dpkg-deb --fsys-tarfile "$deb" | tar -x -p -C "$tree" --keep-directory-symlink --no-same-owner \
                    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
                    --exclude='./usr/share/info/*' --exclude='./usr/share/lintian/*' --exclude='./usr/share/bug/*'
                ;;
        esac
        basename "$deb" .deb >>"$out/packages"
        rm "$deb"
    done
}

# take_modules VERSION: those listed, and what they depend on; the names the initramfs needs go to $work/early.
take_modules() {
    local from=$work/kernel/lib/modules/$1/kernel to=$tree/usr/lib/modules/$1/kernel pattern file name
    local -a queue=()
    local -A path=() seen=()
    while IFS= read -r file; do
        name=$(basename "${file%%.ko*}")
        path[${name//-/_}]=$file
    done < <(cd "$from" && find . -name '*.ko*')
    while IFS= read -r pattern; do
        # shellcheck disable=SC2231 # the patterns are meant
        for file in "$from"/${pattern#!}.ko*; do
            [[ -e $file ]] || { echo "no module $pattern in Linux $1: built in, or it has another name" && continue; }
            name=$(basename "${file%%.ko*}")
            queue+=("${name//-/_}")
            [[ $pattern != '!'* ]] || echo "${name//-/_}" >>"$work/early"
        done
    done < <(listed modules)
    while [[ ${#queue[@]} -gt 0 ]]; do
        name=${queue[-1]}
        unset 'queue[-1]'
        [[ -z ${seen[$name]-} && -n ${path[$name]-} ]] || continue
        seen[$name]=1
        file=${path[$name]}
        mkdir -p "$to/$(dirname "$file")"
        cp "$from/$file" "$to/$file"
        mapfile -t -O ${#queue[@]} queue < <(in_tree modinfo -F depends "/lib/modules/$1/kernel/$file" |
            tr ',-' '\n_' | sed '/^$/d')
    done
    find "$to" -name '*.ko.xz' -exec unxz {} + # slow under emulation
    cp "$work/kernel/lib/modules/$1"/modules.{builtin*,order} "${to%/kernel}/"
    in_tree depmod "$1"
}

# take_kernel BZIMAGE: the ELF file inside; the boot protocol says where (Documentation/arch/x86/boot.rst). Xen could
# unpack it itself, which takes long under emulation.
take_kernel() {
    local sectors offset length magic
    number_at() { od -An -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }
    sectors=$(number_at "$1" $((0x1f1)) 1)
    offset=$(((sectors + 1) * 512 + $(number_at "$1" $((0x248)) 4)))
    length=$(($(number_at "$1" $((0x24c)) 4) - 4)) # the last four octets are the size unpacked
    tail -c "+$((offset + 1))" "$1" | head -c "$length" >"$work/payload" || true # tail gets SIGPIPE
    magic=$(od -An -t x1 -N 4 "$work/payload" | tr -d ' ')
    case $magic in
        fd377a58) xz -dc --single-stream <"$work/payload" ;;
        28b52ffd) in_tree zstd -dc <"$work/payload" ;;
        1f8b*) gzip -dc <"$work/payload" ;;
        *) echo "the kernel's payload begins with $magic: a compression that build.sh does not know" >&2 && return 1 ;;
    esac >"$out/vmlinux"
}

kernel() {
    local version
    [[ -e $work/kernel/lib ]] || ln -s usr/lib "$work/kernel/lib" # as packages after Debian 12 have it
    version=$(basename "$work"/kernel/lib/modules/*)
    take_modules "$version"
    take_kernel "$work/kernel/boot/vmlinuz-$version"
    gzip -dc "$tree"/boot/xen-*-amd64.gz >"$out/xen"
    rm -rf "$work/kernel" "${tree:?}"/boot/*
    echo "$version" >"$work/version"
}

# lib/modules of the initramfs: its modules and what they depend on, as depmod of the whole tree says.
initramfs() {
    local version dir=$tree/initramfs module file
    version=$(cat "$work/version")
    mkdir -p "$dir"/{bin,dev,proc,sys,lower,rw,new,lib/modules}
    cp "$tree/usr/bin/busybox" "$dir/bin/"
    install -m 755 "$here/initramfs-init" "$dir/init"
    # modprobe prints "insmod FILE" in the order of loading.
    while IFS= read -r module; do
        in_tree modprobe --show-depends --set-version "$version" "$module"
    done <"$work/early" | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/insmod"
    while IFS= read -r file; do
        cp "$tree/$file" "$dir/lib/modules/"
        basename "$file"
    done <"$work/insmod" >"$dir/lib/modules/order"
    in_tree sh -c 'cd /initramfs && find . | busybox cpio -o -H newc' >"$out/initrd.cpio"
    rm -rf "$dir"
}

# accounts: base-passwd's, which its maintainer script would have put there, and ours.
accounts() {
    local name
    cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
    cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
    sed -i 's|^root:.*|root:x:0:0:root:/root:/bin/sh|' "$tree/etc/passwd"
    cat >>"$tree/etc/passwd" <<'PASSWD'
messagebus:x:100:101::/nonexistent:/usr/sbin/nologin
user:x:1000:1000:user:/home/user:/bin/sh
PASSWD
    sed -i 's/^audio:.*/audio:*:29:user/' "$tree/etc/group"
    printf 'messagebus:x:101:\nuser:x:1000:\npulse:x:102:\npulse-access:x:103:\n' >>"$tree/etc/group"
    sed 's/^\([^:]*\):.*/\1:*:20000:0:99999:7:::/' "$tree/etc/passwd" >"$tree/etc/shadow"
    chmod 640 "$tree/etc/shadow"
    for name in /bin/sh /bin/bash; do echo "$name"; done >"$tree/etc/shells"
    for name in auth account password session; do
        printf '%s sufficient pam_permit.so\n' "$name" >"$tree/etc/pam.d/common-$name"
    done
}

# keys: one pair for all of a machine's doors; it opens nothing but machines on this host's loopback.
keys() {
    local home
    ssh-keygen -q -t ed25519 -N '' -C xen-lab -f "$out/id_ed25519"
    for home in root home/user; do
        install -d -m 700 "$tree/$home/.ssh"
        install -m 600 "$out/id_ed25519.pub" "$tree/$home/.ssh/authorized_keys"
    done
    install -m 600 "$out/id_ed25519" "$tree/root/.ssh/id_ed25519"
    install -m 600 "$out/id_ed25519.pub" "$tree/root/.ssh/id_ed25519.pub"
    mkdir -p "$tree/etc/dropbear"
    rm -f "$tree"/etc/dropbear/*_host_key
    in_tree dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key
}

# node_binary: the host's, with those libraries that the tree lacks; Debian's own also reads modules from /usr/share.
node_binary() {
    local library module
    install -D -m 755 "$node" "$tree/usr/local/bin/node"
    ldd "$node" | awk '$3 ~ /^\// { print $3 }' | while IFS= read -r library; do
        [[ -e $tree/$library || -e $tree/usr/$library ]] || install -D -m 644 "$library" "$tree/usr/local/lib/$(basename "$library")"
    done
    if ldd "$node" | grep -q libnode; then
        for module in acorn acorn-walk cjs-module-lexer undici; do
            [[ ! -d /usr/share/nodejs/$module ]] ||
                { mkdir -p "$tree/usr/share/nodejs" && cp -rL "/usr/share/nodejs/$module" "$tree/usr/share/nodejs/"; }
        done
    fi
}

configure() {
    local command
    cp -r "$here/tree/." "$generated/." "$tree/"
    chmod -R u+rwX,go+rX,go-w "$tree/etc/xen/scripts"
    ln -sf dash "$tree/usr/bin/sh"
    ln -sf mawk "$tree/usr/bin/awk"
    # Not Debian's wrapper, which looks for the running Xen's version first: five processes, slow under emulation.
    ln -sf "$(cd "$tree/usr/sbin" && echo ../lib/xen-[0-9]*/bin/xl)" "$tree/usr/sbin/xl"
    for command in node lab-exec lab-await-guest; do # dropbear's PATH has no /usr/local/bin
        ln -s "../local/bin/$command" "$tree/usr/bin/$command"
    done
    rm -rf "$tree/var/run" "$tree/var/lock"
    ln -s /run "$tree/var/run"
    ln -s /run/lock "$tree/var/lock"
    ln -sf /proc/mounts "$tree/etc/mtab"
    mkdir -p "$tree"/{dev,proc,sys,run,tmp,srv/run,boot,mnt} "$tree"/var/{log/xen/console,lib/xenstored,lib/xen,lib/dbus}
    chmod 1777 "$tree/tmp"
    cp "$out/vmlinux" "$out/initrd.cpio" "$tree/boot/"
    in_tree ldconfig
}

root_image() {
    local mib
    mib=$(($(du -sm --apparent-size "$tree" | cut -f1) * 11 / 10 + 64))
    mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -m 0 -d "$tree" "$out/root.ext4" "${mib}M"
}

mkdir -p "$tree" "$out"
progress 'Debian packages: download' download
progress 'Debian packages: unpack' unpack
progress 'kernel and modules' kernel
progress 'initramfs' initramfs
accounts
keys
node_binary
progress 'configuration' configure
progress 'root file system' root_image
