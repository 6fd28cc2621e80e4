#!/bin/sh
# replay.sh BUILD TARGET...: runs every input of corpus/ and found/ once, with the targets that BUILD has. Ends with
# "N passed, M failed, 0 skipped"; what fails names its input last.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
shift
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "$@"; do
    set -- "tests/fuzz/corpus/$target"
    [ ! -d "tests/fuzz/found/$target" ] || set -- "$@" "tests/fuzz/found/$target"
    if inputs=$("$build/fuzz-$target" "$@" 2>"$log"); then
        passed=$((passed + ${inputs% inputs}))
        echo "$target: $inputs"
    else
        failed=$((failed + 1))
        echo "$target: FAILED"
        tail -n 40 "$log"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
