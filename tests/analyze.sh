#!/bin/sh
# Both compilers' static analyzers over every C file. Findings that are known to be wrong are in
# tests/analyze-known.txt, each with the reason; any other fails, and so does a known one that is gone.
set -eu
cd "$(dirname "$0")/.."
. tests/progress.sh
scratch

flags='-std=gnu17 -D_GNU_SOURCE -DCP_VERSION="0" -I. -fno-strict-aliasing -O1 -Wall -Wextra'

# findings: compiler output as "FILE CHECKER: source line".
findings() {
    sed -n 's/^\([^ :]*\):\([0-9]*\):[0-9]*: warning: .*\[\([^]]*\)\]$/\1 \2 \3/p' "$1" | sort -u |
        while read -r file line checker; do
            echo "$file $checker: $(sed -n "${line}s/^ *//p" "$file")"
        done
}

files=$(echo proto/*.c daemon/*.c client/*.c)

# each COMMAND...: of every file, so many at once as there are cores.
each() {
    # shellcheck disable=SC2086
    printf '%s\n' $files | xargs -P "$(nproc)" -I '{}' "$@" -c '{}' -o /dev/null
}

analyze_gcc() {
    # shellcheck disable=SC2086
    each gcc $flags -fanalyzer
}

# It does not know __attribute__((cleanup)), so what it says of the heap is left to gcc and valgrind.
analyze_clang() {
    # shellcheck disable=SC2086
    each clang --analyze -Xclang -analyzer-disable-checker=unix.Malloc $flags
}

grep -v '^#' tests/analyze-known.txt | grep . | sort -u >"$work/known"
: >"$work/found"
for tool in gcc clang; do
    command -v "$tool" >/dev/null || {
        echo "$tool is not installed" >&2
        exit 1
    }
    step "$tool" "$work/log" "analyze_$tool" || {
        indent "$work/log"
        exit 1
    }
    sed 's/\[CWE-[0-9]*\] //' "$work/log" >"$work/plain"
    findings "$work/plain" >>"$work/found"
done
sort -u "$work/found" >"$work/all"
comm -13 "$work/known" "$work/all" >"$work/new"
comm -23 "$work/known" "$work/all" >"$work/gone"
sed 's/^/new: /' "$work/new"
sed 's/^/known, but not found any more: /' "$work/gone"
echo "$(wc -l <"$work/all") findings, $(wc -l <"$work/new") of them not known"
[ ! -s "$work/new" ] && [ ! -s "$work/gone" ]
