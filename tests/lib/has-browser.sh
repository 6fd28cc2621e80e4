#!/bin/sh
# The browser for tests/lib/browser.mjs by its name; status 1 where there is none.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        echo "$name"
        exit 0
    fi
done
exit 1
