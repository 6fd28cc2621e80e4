#!/bin/sh
# The tarball: made twice, the same, of what is committed, and builds. Ends with "N passed, M failed, K skipped".
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
results=$work/results
: >"$results"
. tests/systemd/report.sh
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

made() {
    for time in first second; do
        make -s --no-print-directory dist BUILD="$work/build" >"$work/said"
        tarball=$(cat "$work/said")
        mv "$tarball" "$work/$time.tar.gz"
    done
    cmp "$work/first.tar.gz" "$work/second.tar.gz"
    tar -C "$work" -xzf "$work/first.tar.gz"
    name=${tarball##*/}
    equals "$(git ls-tree -r --name-only HEAD)" "$(tar -tzf "$work/first.tar.gz" | grep -v '/$' | sed "s|^${name%.tar.gz}/||")"
    mv "$work/${name%.tar.gz}" "$work/sources"
    equals "build/${name%.tar.gz}.tar.gz" "build/codex-pool-$(sed -n 's/^VERSION := //p' Makefile).tar.gz"
}

# As quick as can be: how it is compiled is not the question.
builds() {
    make -s --no-print-directory -C "$work/sources" -j"$(nproc)" OPT=-O0 CC=gcc VERSION=9.8.7 HARDEN=
    equals 'codex-pool 9.8.7' "$("$work/sources/build/codex-pool" --version)"
    equals 'codex-poold 9.8.7' "$("$work/sources/build/codex-poold" --version)"
}

if git rev-parse --git-dir >/dev/null 2>&1; then
    check 'made twice, the same, of what is committed' made
    check 'builds' builds
else
    skipped 'tarball: no git checkout'
fi

bad=$(grep -c '^FAILED' "$results" || :)
echo "$(grep -c '^ok' "$results" || :) passed, $bad failed, $(grep -c '^skipped' "$results" || :) skipped"
[ "$bad" = 0 ]
