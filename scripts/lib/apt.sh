# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Debian packages: what is missing, and installing only that. Sourced after common.sh.

# as_root COMMAND...: runs it as root, through sudo when we are not.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root to run: $*" \
            "(start scripts/setup as root, or install sudo, or let an administrator run that command)"
    fi
}

# missing_packages PACKAGE...: prints those that are not installed, one a line.
missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# have_candidates PACKAGE...: whether apt knows a version to install of each.
have_candidates() {
    local package
    for package in "$@"; do
        LC_ALL=C apt-cache policy "$package" 2>/dev/null | grep -q '^  Candidate: [^(]' || return 1
    done
}

# apt_install PACKAGE...: never removes a package of the user's; refreshes apt's lists only when it must.
apt_install() {
    local -a install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove)
    have_candidates "$@" || as_root apt-get update
    as_root "${install[@]}" "$@" && return 0
    echo "the first try failed; refreshing apt's lists, which may be out of date" >&2
    as_root apt-get update
    as_root "${install[@]}" "$@" && return 0
    echo "apt-get could not install: $*" >&2
    echo "When it wanted to remove packages (PipeWire's PulseAudio replacement conflicts with PulseAudio)," >&2
    echo "use a container or a virtual machine: scripts/setup does not remove anything." >&2
    return 1
}

# install_packages PACKAGE...: installs them, and keeps a PulseAudio that came with them from starting at login.
install_packages() {
    apt_install "$@" || return 1
    if [[ " $* " == *' pulseaudio '* ]] && [[ -d /run/systemd/system ]]; then
        as_root systemctl --global disable pulseaudio.service pulseaudio.socket
    fi
}
