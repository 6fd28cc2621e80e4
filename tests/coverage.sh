#!/bin/sh
# How much of the C code the tests run: a table by file, and every line that none of them ran in
# build/coverage/uncovered.txt. Of those, the ones in tests/coverage-known.txt are there with the reason; the others
# are printed. Without test files all of them: units, scripted Codex, real Codex.
#   coverage.sh [TEST FILE...]
set -eu
cd "$(dirname "$0")/.."
. tests/progress.sh
scratch
[ $# -gt 0 ] || set -- tests/e2e/*.test.mjs tests/real/*.test.mjs
dir=build/coverage

build() {
    make -j"$(nproc)" --no-print-directory BUILD=$dir CC=gcc OPT=-O0 CFLAGS=--coverage LDFLAGS=--coverage \
        $dir/codex-poold $dir/codex-pool $dir/unit-tests
}

rm -rf $dir
step 'build' "$work/log" build || {
    indent "$work/log"
    exit 1
}
step 'unit tests' "$work/log" $dir/unit-tests || indent "$work/log" 5
CODEX_POOL_BUILD=$dir step 'scripted and real Codex' "$work/log" \
    node --test --test-concurrency="$(nproc)" --test-reporter=tap "$@" || grep '^not ok' "$work/log"

# "FILE:LINE: text" of each line that was never run.
: >$dir/uncovered.txt
printf '\n%-28s %8s %8s %8s\n' FILE LINES RUN '%'
for file in proto/*.c daemon/*.c client/*.c; do
    gcov -t -o "$dir/obj/${file%/*}" "$file" >"$work/gcov" 2>/dev/null || continue
    # Of headers only the file itself.
    awk -F: -v file="$file" -v missed="$dir/uncovered.txt" '
        $2 + 0 == 0 && $3 == "Source" { on = $4 == file }
        !on || $2 + 0 == 0 || $1 ~ /^ *-$/ { next }
        { lines++ }
        $1 ~ /#####|=====/ { text = $0; sub(/^[^:]*:[^:]*:/, "", text); print file ":" $2 + 0 ":" text >>missed; next }
        { run++ }
        END { if (lines) printf "%s %d %d\n", file, lines, run }' "$work/gcov"
done | awk '
    { printf "%-28s %8d %8d %8.1f\n", $1, $2, $3, $3 * 100 / $2; lines += $2; run += $3 }
    END { printf "%-28s %8d %8d %8.1f\n", "all", lines, run, lines ? run * 100 / lines : 0 }'
# Lines are known by their text: their numbers change with every line above them.
sed 's/^\([^:]*\):[0-9]*: */\1: /' $dir/uncovered.txt | sort -u >"$work/missed"
grep -v '^#' tests/coverage-known.txt | grep . | sort -u >"$work/known"
comm -23 "$work/missed" "$work/known" >"$work/new"
echo "never run: $(wc -l <$dir/uncovered.txt) lines ($dir/uncovered.txt), $(wc -l <"$work/new") of them not in tests/coverage-known.txt"
sed 's/^/  /' "$work/new"
