#!/bin/sh
# Whether clang is there, and its fuzzer with it (in Debian a package of its own, libclang-rt-N-dev).
set -eu
command -v clang >/dev/null 2>&1 || exit 1
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n ? 0 : 0; }' |
    clang -fsanitize=fuzzer,address,undefined -x c - -o "$out" 2>/dev/null
