# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Completion of xen-audioctl. Installed as /usr/share/bash-completion/completions/xen-audioctl.

# Names of the guests, one a line; those that JSON or the shell would have to quote are left out.
_xen_audioctl_guests() {
    xen-audioctl list --json --timeout 2 2>/dev/null |
        sed -n 's/^    "name": "\([A-Za-z0-9_.:-]\{1,\}\)",\{0,1\}$/\1/p'
}

_xen_audioctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='list show volume mute allow-mic deny-mic attach detach route policy reload prepare-suspend
        finish-suspend save restore migrate monitor doctor'
    local options='--json --bus --timeout --help --version' choices=''
    local -a operands=()
    local index word
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
            --bus | --timeout | --for) index=$((index + 1)) ;;
            -*) ;;
            *) operands+=("$word") ;;
        esac
    done
    case ${operands[0]-} in
        allow-mic) options+=' --once --for --always' ;;
        attach) options+=' --kernel' ;;
        doctor) options+=' --guest' ;;
    esac

    if [[ $previous == --bus ]]; then
        choices='system session'
    elif [[ $previous == --for ]]; then
        choices='15m 1h 8h'
    elif [[ $current == -* ]]; then
        choices=$options
    else
        case "${#operands[@]} ${operands[*]:0:2}" in
            '0 ') choices=$commands ;;
            '1 policy') choices='check explain' ;;
            '1 list' | '1 reload' | '1 monitor' | '1 doctor') ;;
            '2 policy check' | '2 save '* | '1 restore')
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                return
                ;;
            '1 '* | '2 policy explain') choices=$(_xen_audioctl_guests) ;;
            '2 mute '*) choices='on off toggle' ;;
            '2 route '*) choices='playback capture' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}

complete -F _xen_audioctl xen-audioctl
