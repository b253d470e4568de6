# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the scripts that source this
# What every command in scripts/ needs: where things lie, how a step is shown, which Node is used.
# Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:?HOME must be set}/.cache}/xen-audio
build=$root/build
logs=$build/log
private_bin=$cache/node/node_modules/.bin

# die MESSAGE...: ends the command with a message that says what to do.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# usage_of FILE: prints the comment block at the top of a command; it is the --help text.
usage_of() {
    awk 'NR <= 2 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$1"
}

# step NAME TITLE COMMAND...: runs the command with its output in build/log/NAME.log; one line on the
# terminal, or the end of the log when it fails.
step() {
    local title=$2 log=$logs/$1.log start=$EPOCHREALTIME
    shift 2
    mkdir -p "$logs"
    [[ -t 2 ]] && printf '  ... %s\r' "$title" >&2
    if ("$@") >"$log" 2>&1 </dev/null; then
        printf '  ok  %-44s %7.1f s\n' "$title" "$(seconds_since "$start")" >&2
        return 0
    fi
    printf 'FAIL  %-44s %7.1f s\n' "$title" "$(seconds_since "$start")" >&2
    tail -n 40 "$log" | sed 's/^/      | /' >&2
    printf '      the whole output is in %s\n' "$log" >&2
    return 1
}

# seconds_since START: START is a value of EPOCHREALTIME.
seconds_since() {
    awk -v now="$EPOCHREALTIME" -v start="$1" 'BEGIN { printf "%.1f", now - start }'
}

# node_is_new_enough NODE: whether that binary runs and is 20.19 or later (mocha and eslint ask for it).
node_is_new_enough() {
    [[ -n $1 ]] && "$1" -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);' 2>/dev/null
}

# use_node: puts the private Node of an earlier setup first on PATH when the system has none that is new enough.
use_node() {
    node_is_new_enough "$(command -v node || true)" && return 0
    if node_is_new_enough "$private_bin/node"; then
        PATH=$private_bin:$PATH
        export PATH
        hash -r
        return 0
    fi
    return 1
}

# run_setup: sets up what is missing; nothing but progress lines on stderr.
run_setup() {
    "$root/scripts/setup"
    use_node || die "no Node after scripts/setup; look at the messages above"
}
