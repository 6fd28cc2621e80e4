#!/bin/sh
# All the tests: builds what they run on, shows each part with its time, prints the output of what fails, and ends
# with one line that sums everything up. Exit 0 if nothing failed.
set -eu
cd "$(dirname "$0")/.."
. tests/progress.sh
# What `make check` was called with is not for the builds below.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CC BUILD SANITIZE

sh tests/install-deps.sh check
began=$(now_ms)
passed=0 failed=0 errors=0
work=$(mktemp -d)
skips=$work/skips
failures=$work/failures
: >"$skips"
: >"$failures"
# Every process that a test starts, directly or not, is known by this variable, every file by its directory (of
# a short name, since a socket's path has 108 bytes).
mark=$$-$began
export CODEX_POOL_CHECK="$mark"
export TMPDIR="$work/t"
mkdir "$TMPDIR"
# Some tests become another user.
chmod 711 "$work" "$TMPDIR"
export ASAN_OPTIONS="detect_leaks=1:log_path=$work/sanitizer"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$work/sanitizer"
# How long a test waits for what does not come. Only a failure waits so long, so it is ample for a busy machine.
export TEST_LIMIT_MS="${TEST_LIMIT_MS:-90000}"
jobs=$(nproc)

have() {
    command -v "$1" >/dev/null 2>&1
}

# The processes of ours that are still there. This shell and its own forks are not marked: they began before.
left_processes() {
    for process in /proc/[0-9]*; do
        if grep -zqsx "CODEX_POOL_CHECK=$mark" "$process/environ"; then
            echo "${process#/proc/}"
        fi
    done
}

clean_up() {
    progress_stop
    left=$(left_processes)
    # shellcheck disable=SC2086
    [ -z "$left" ] || kill -KILL $left 2>/dev/null || :
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

count_of() {
    sed -n "s/^# $1 \([0-9][0-9]*\)\$/\1/p" "$2" | tail -n 1 | grep . || echo 0
}

# skipped NAME REASON
skipped() {
    echo "$1: $2" >>"$skips"
}

# read_result KIND LOG STATUS: what a part's output says, into ok, bad and skip.
read_result() {
    ok=0 bad=0 skip=0
    case $1 in
    command) [ "$3" = 0 ] && ok=1 || bad=1 ;;
    check) # "100%: Checks: 12, Failures: 0, Errors: 0"
        sums=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$2")
        # shellcheck disable=SC2086
        set -- ${sums:-0 0 0}
        bad=$(($2 + $3)) ok=$(($1 - $2 - $3))
        ;;
    tap)
        ok=$(count_of pass "$2") bad=$(($(count_of fail "$2") + $(count_of cancelled "$2")))
        skip=$(count_of skipped "$2")
        sed -n 's/^ *ok [0-9]* - \(.*[^ ]\) *# SKIP *\(.*\)$/\1: \2/p' "$2" >>"$skips"
        ;;
    units) # "12 passed, 0 failed, 1 skipped", after a line "skipped: REASON" for each of those
        sums=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$2")
        sed -n 's/^skipped: //p' "$2" >>"$skips"
        # shellcheck disable=SC2086
        set -- ${sums:-0 0 0}
        ok=$1 bad=$2 skip=$3
        ;;
    esac
}

# show_failure LABEL KIND LOG: what is said of it now, and the gist of that for the list of what failed.
show_failure() {
    if [ "$2" = tap ]; then
        # The failed tests with what is said of them.
        awk '/^ *not ok /{on=1} on{print} /^ *\.\.\.$/{on=0}' "$3" >"$3.failed"
        if [ -s "$3.failed" ]; then
            indent "$3.failed" 300
            awk '/^ *not ok |^ *location:/{print} /^ *error:/{left=4} left-->0{print}' "$3.failed" >"$3.gist"
            note_failure "$1" "$3.gist"
            return 0
        fi
    fi
    indent "$3" 300
    note_failure "$1" "$3"
}

# note_failure LABEL FILE
note_failure() {
    {
        echo "$1:"
        indent "$2" 12
    } >>"$failures"
}

# part LABEL KIND COMMAND...: runs one part and adds its counts to the sums.
part() {
    name=$1
    kind=$2
    shift 2
    log=$work/log
    status=0
    STEP_OPEN=1 step "$name" "$log" "$@" || status=$?
    [ "$status" != 124 ] || echo "stopped after 600 s" >>"$log"
    read_result "$kind" "$log" "$status"
    passed=$((passed + ok)) failed=$((failed + bad))
    wrong=$bad
    if [ "$bad" = 0 ] && [ "$status" != 0 ]; then
        errors=$((errors + 1)) wrong=1
        echo "ended with status $status" >>"$log"
    elif [ $((ok + bad + skip)) = 0 ]; then
        errors=$((errors + 1)) wrong=1
        echo "ran no test" >>"$log"
    fi
    if [ "$kind" = command ]; then
        [ "$wrong" = 0 ] && echo '  ok' || echo '  FAILED'
    else
        printf '  %d passed' "$ok"
        [ "$skip" = 0 ] || printf ', %d skipped' "$skip"
        [ "$wrong" = 0 ] && echo || echo ", $wrong FAILED"
    fi
    [ "$wrong" = 0 ] || show_failure "$name" "$kind" "$log"
    return 0
}

# What is still there a while after the tests of a part, as one text a line.
leftovers() {
    tries=0
    while left=$(left_processes) && [ -n "$left" ] && [ "$tries" -lt 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    for pid in $left; do
        echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-200)"
        kill -KILL "$pid" 2>/dev/null || :
    done
    # A list that Codex keeps for a user from one sandbox to the next.
    rm -rf "$TMPDIR"/codex-bwrap-synthetic-mount-targets-*
    for file in "$TMPDIR"/* "$TMPDIR"/.[!.]*; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        find "$file" -printf 'file %p\n'
        rm -rf "$file"
    done
    for file in "$work"/sanitizer*; do
        [ -e "$file" ] || continue
        echo "sanitizer report:"
        cat "$file"
        rm -f "$file"
    done
}

# clean_part LABEL KIND COMMAND...: as part, and then nothing may be left of it.
clean_part() {
    part "$@"
    leftovers >"$work/left"
    if [ -s "$work/left" ]; then
        failed=$((failed + 1))
        echo "$1: left behind:"
        indent "$work/left"
        note_failure "$1, left behind" "$work/left"
    else
        passed=$((passed + 1))
    fi
}

# A part that hangs is ended; what it started goes with clean_up.
limited() {
    timeout --foreground -k 10 600 "$@"
}

build() {
    dir=$1
    shift
    make -j"$jobs" --no-print-directory BUILD="$dir" "$@" "$dir/codex-poold" "$dir/codex-pool" "$dir/unit-tests" speed-programs
}

# Nobody reaches into a layer that is not below.
layers() {
    ! grep -nE '^#include ("(daemon|client)/|<ev\.h>)' proto/*.[ch] &&
        ! grep -nE '^#include "client/' daemon/*.[ch] &&
        ! grep -nE '^#include "daemon/' client/*.[ch]
}

top_level() {
    ! git ls-files --cached --others --exclude-standard | cut -d/ -f1 | sort -u |
        grep -vxE '\..*|daemon|client|proto|tests|systemd|Makefile|README\.md|LICENSE'
}

finish() {
    total=$((passed + failed + errors))
    if [ -s "$skips" ]; then
        echo 'Skipped:'
        sort -u "$skips" | sed 's/^/  /'
    fi
    # Where the output is cut, it is cut above.
    if [ -s "$failures" ]; then
        echo 'Failed:'
        sed 's/^/  /' "$failures"
    fi
    echo "in $(seconds $(($(now_ms) - began)))"
    echo "$((total ? passed * 100 / total : 0))%: Checks: $total, Failures: $failed, Errors: $errors"
    [ $((failed + errors)) = 0 ] && [ "$total" -gt 0 ]
}

part 'build, gcc' command build build CC=gcc
if [ "$((failed + errors))" != 0 ]; then
    finish
    exit 1
fi
part 'build, gcc with sanitizers' command build build/asan CC=gcc SANITIZE=1 fuzz-programs
variants='build build/asan'
if have clang || [ -n "${CI-}" ]; then
    part 'build, clang' command build build/clang CC=clang
    variants="$variants build/clang"
else
    skipped 'build, clang' 'clang is not installed'
fi
fuzzer=
if sh tests/fuzz/available.sh || [ -n "${CI-}" ]; then
    part 'build, clang with fuzzer' command make -j"$jobs" --no-print-directory BUILD=build/fuzz CC=clang SANITIZE=1 \
        FUZZER=1 fuzz-programs
    fuzzer=1
else
    skipped 'build, clang with fuzzer' 'clang, or its fuzzer, is not installed'
fi
part 'layers' command layers
if have git && git rev-parse --git-dir >/dev/null 2>&1; then
    part 'top level' command top_level
else
    skipped 'top level' 'no git checkout'
fi
for dir in $variants; do
    clean_part "unit tests, $dir" check limited "$dir/unit-tests"
done
targets=$(printf '%s\n' tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||')
# shellcheck disable=SC2086
clean_part 'fuzz corpus, build/asan' units limited sh tests/fuzz/replay.sh build/asan $targets
# shellcheck disable=SC2086
[ -z "$fuzzer" ] || clean_part 'fuzzing for 20 s' units limited env FUZZ_SEED=1 sh tests/fuzz/run.sh 20 $targets
for dir in build build/asan; do
    clean_part "scripted Codex, $dir" tap limited env CODEX_POOL_BUILD="$dir" \
        node --test --test-concurrency="$jobs" --test-reporter=tap tests/e2e/*.test.mjs
done
for dir in build build/asan; do
    clean_part "real Codex, $dir" tap limited env CODEX_POOL_BUILD="$dir" \
        node --test --test-concurrency="$jobs" --test-reporter=tap tests/real/*.test.mjs
done
clean_part 'Node.js client, in a browser' tap limited node --test --test-concurrency="$jobs" --test-reporter=tap \
    tests/clients/*.test.mjs
# A seed of its own each time, printed. Once more, or longer: make soak BUILD=build/asan SANITIZE=1 SECONDS=n SEED=s.
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
clean_part "soak, build/asan, seed $seed" command limited env CODEX_POOL_BUILD=build/asan \
    node tests/soak/main.mjs 60 "$seed"
clean_part 'manual and completions' tap limited node --test --test-reporter=tap tests/package/*.test.mjs
clean_part 'tarball' units limited sh tests/package/dist.sh
clean_part 'Debian package' units limited sh tests/package/deb.sh
clean_part 'systemd units' units limited sh tests/systemd/units.sh
finish
