# Sourced by the scripts here: says how each check went, on the terminal and in the file $results.

ok() {
    printf 'ok       %s\n' "$1" | tee -a "$results"
}

failed() {
    printf 'FAILED   %s\n' "$1" | tee -a "$results"
}

skipped() {
    printf 'skipped: %s\n' "$1" | tee -a "$results"
}

# check NAME COMMAND...: ok if it succeeds; else failed, and what it printed.
check() {
    check_name=$1
    shift
    # Not as a condition, where a failing command within would not end it.
    set +e
    (
        set -e
        "$@"
    ) >"$results.said" 2>&1
    check_status=$?
    set -e
    if [ "$check_status" = 0 ]; then
        ok "$check_name"
    else
        failed "$check_name"
        sed 's/^/    /' "$results.said"
    fi
}

# equals WANTED GOT
equals() {
    [ "$1" = "$2" ] || {
        echo "wanted: $1"
        echo "got:    $2"
        return 1
    }
}

# eventually COMMAND...: until it succeeds, half a minute at most; then what it printed last.
eventually() {
    tries=0
    until "$@" >"$results.try" 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -ge 300 ]; then
            echo "not after 30 s: $*"
            cat "$results.try"
            return 1
        fi
        sleep 0.1
    done
}
