# Sourced by the scripts here: shows what takes time. Knows POSIX sh only.

# The clock in milliseconds.
now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# seconds MS: as "1.2 s".
seconds() {
    echo "$(($1 / 1000)).$(($1 % 1000 / 100)) s"
}

# Shows the seconds that go by: on a terminal in place, elsewhere a line now and then.
progress_tick() {
    tick_sleep=
    trap '[ -z "$tick_sleep" ] || kill "$tick_sleep" 2>/dev/null; exit 0' TERM
    trap '' INT
    i=0
    while :; do
        sleep 1 &
        tick_sleep=$!
        wait "$tick_sleep"
        i=$((i + 1))
        if [ -t 1 ]; then
            printf '\r\033[K%s  %d s' "$1" "$i"
        elif [ $((i % 20)) = 0 ]; then
            echo "  ... $1  $i s"
        fi
    done
}

# Ends what shows the seconds; for a script's trap, too.
step_ticker=
progress_stop() {
    [ -n "$step_ticker" ] || return 0
    kill "$step_ticker" 2>/dev/null || :
    wait "$step_ticker" 2>/dev/null || :
    step_ticker=
}

# scratch: a directory, $work, that goes when the script ends, however it does.
scratch() {
    work=$(mktemp -d)
    trap 'progress_stop; rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# step LABEL LOG COMMAND...: runs a command, its output in the file LOG, and prints one line with the time it
# took. Leaves the line without an end where STEP_OPEN is set, for the caller to add to it.
step() {
    step_label=$1
    step_log=$2
    shift 2
    step_began=$(now_ms)
    [ -t 1 ] && printf '%s' "$step_label"
    progress_tick "$step_label" &
    step_ticker=$!
    step_rc=0
    "$@" >"$step_log" 2>&1 </dev/null || step_rc=$?
    progress_stop
    [ -t 1 ] && printf '\r\033[K'
    printf '%-44s %8s' "$step_label" "$(seconds $(($(now_ms) - step_began)))"
    [ -n "${STEP_OPEN-}" ] || echo
    return "$step_rc"
}

# indent FILE [LINES]: prints its last lines, set off so that nobody takes them for our own.
indent() {
    tail -n "${2:-200}" "$1" | sed 's/^/    | /'
}
