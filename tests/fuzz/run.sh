#!/bin/sh
# run.sh SECONDS TARGET...: fuzzes each target in its turn, the session for half of the time (it is the largest), and
# prints a line for each. An input that breaks something is kept in found/. Ends with "N passed, M failed, 0 skipped".
#
# What is new to a target is kept in build/fuzz/grown and gone on with the next time; with FUZZ_SEED set, every run
# begins as the first.
set -eu
cd "$(dirname "$0")/../.."
total=$1
shift
case $total in
'' | *[!0-9]*)
    echo 'SECONDS must be a whole number' >&2
    exit 64
    ;;
esac
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# share TARGET TARGETS...: the seconds of one target. Of several, the session has as many as all the others.
share() {
    mine=$1
    shift
    n=$#
    case " $* " in
    *' session '*) [ "$n" = 1 ] || { [ "$mine" = session ] && n=2 || n=$((2 * (n - 1))); } ;;
    esac
    echo $((total > n ? total / n : 1))
}

last() {
    sed -n "s/$1/\\1/p" "$work/log" | tail -n 1 | grep . || echo -
}

fuzz() {
    grown=build/fuzz/grown/$1
    [ -z "${FUZZ_SEED-}" ] || grown=$work/$1
    mkdir -p "$grown" "tests/fuzz/found/$1"
    set -- "$1" "$2" "$grown" "tests/fuzz/corpus/$1" "tests/fuzz/found/$1"
    nice "build/fuzz/fuzz-$1" -max_total_time="$2" -max_len=4096 -timeout=60 -report_slow_inputs=60 \
        -entropic_scale_per_exec_time=1 -dict=tests/fuzz/words.dict -print_final_stats=1 \
        ${FUZZ_SEED:+-seed=$FUZZ_SEED} -artifact_prefix="tests/fuzz/found/$1/" "$3" "$4" "$5" >"$work/log" 2>&1
}

printf '%-10s %12s %8s %9s %8s  %s\n' target executions edges features seconds result
for target in "$@"; do
    seconds=$(share "$target" "$@")
    result=ok
    began=$(date +%s)
    fuzz "$target" "$seconds" || result=FAILED
    printf '%-10s %12s %8s %9s %8s  %s\n' "$target" "$(last '^stat::number_of_executed_units: *\([0-9]*\)$')" \
        "$(last '.* cov: \([0-9]*\) .*')" "$(last '.* ft: \([0-9]*\) .*')" $(($(date +%s) - began)) "$result"
    if [ "$result" = ok ]; then
        passed=$((passed + 1))
        rmdir "tests/fuzz/found/$target" 2>/dev/null || :
    else
        failed=$((failed + 1))
        grep -aE 'not so:|ERROR:|runtime error:|Assertion' "$work/log" | cut -c 1-400 || tail -n 40 "$work/log"
        input=$(last '.*Test unit written to \(.*\)$')
        echo "  input:     $input (kept: rename it for what it shows, fix what it breaks, commit both)"
        echo "  again:     FUZZ_TRACE=1 build/fuzz/fuzz-$target $input"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
