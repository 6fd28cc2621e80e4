#!/bin/sh
# The unit tests and the tests on the scripted Codex, with every daemon and client under valgrind: an error or a
# leak makes its exit code 99, which fails its test. The real Codex is left out: nothing of ours is different there.
#   valgrind.sh [TEST FILE...]
set -eu
cd "$(dirname "$0")/.."
. tests/progress.sh
scratch
# Some tests become another user, whose programs report, too.
chmod 1777 "$work"
if [ $# = 0 ]; then
    for file in tests/e2e/*.test.mjs; do
        # What a program is called by, which that is about, valgrind keeps for itself.
        [ "$file" = tests/e2e/cli-as-codex.test.mjs ] || set -- "$@" "$file"
    done
fi

mkdir -p build/valgrind
# Some tests take the PATH away.
valgrind=$(command -v valgrind)
for program in codex-poold codex-pool unit-tests; do
    cat >build/valgrind/$program <<END
#!/bin/sh
exec $valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \\
    --child-silent-after-fork=yes --log-file="$work/report.%p" '$PWD/build/$program' "\$@"
END
    chmod +x build/valgrind/$program
done
rc=0
STEP_OPEN='' step 'unit tests' "$work/log" build/valgrind/unit-tests || rc=1
tail -n 1 "$work/log"
TEST_LIMIT_MS=300000 CODEX_POOL_BUILD=build/valgrind step 'scripted Codex' "$work/log" \
    node --test --test-concurrency="$(nproc)" --test-reporter=tap "$@" || rc=1
grep '^not ok' "$work/log" || :
grep -E '^# (pass|fail|skipped)' "$work/log" || :
for report in "$work"/report.*; do
    [ ! -s "$report" ] || {
        indent "$report"
        rc=1
    }
done
exit $rc
