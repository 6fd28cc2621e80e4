#!/bin/sh
# The Debian package: made twice, looked at, then installed, upgraded, removed and purged by dpkg on a view of this machine
# that a systemd of its own has booted; nothing of that stays. Ends with "N passed, M failed, K skipped".
set -eu
cd "$(dirname "$0")/../.."
. tests/systemd/scratch.sh

# package VERSION
package() {
    make -s --no-print-directory deb DEB_VERSION="$1" >"$work/made"
    cp "$(tail -n 1 "$work/made")" "$work/$1.deb"
}

made() {
    package 0.1.0-1
    mv "$work/0.1.0-1.deb" "$work/first.deb"
    package 0.1.0-1
    cmp "$work/first.deb" "$work/0.1.0-1.deb"
    package 0.1.0-2
}

contents() {
    dpkg-deb --fsys-tarfile "$work/0.1.0-1.deb" | tar -tv >"$work/list"
    equals 'root/root' "$(awk '{ print $2 }' "$work/list" | sort -u)"
    equals '' "$(awk '$1 !~ /^(d|-)rw[x-]r-[x-]r-[x-]$/' "$work/list")"
    equals '/etc/codex-pool/config.json' "$(dpkg-deb -I "$work/0.1.0-1.deb" conffiles)"
    dpkg-deb -f "$work/0.1.0-1.deb" Depends | grep 'libc6 .*libev4'
    make -s --no-print-directory install DESTDIR="$work/root" PREFIX=/usr
    # All that `make install` installs, at Debian's places.
    equals "$(cd "$work/root" && find . -type f | sed 's|/man/.*|&.gz|; s|zsh/site-functions|zsh/vendor-completions|' | LC_ALL=C sort)" \
        "$(awk '$1 ~ /^-/ { print $6 }' "$work/list" | grep -v -e /etc/ -e /share/doc/ | LC_ALL=C sort)"
}

why_not() {
    if [ "$(id -u)" != 0 ]; then
        echo 'needs root'
    elif [ ! -x /lib/systemd/systemd ] || ! have deb-systemd-invoke; then
        echo 'systemd is not installed'
    elif have codex-poold || dpkg-query -W codex-pool >/dev/null 2>&1; then
        echo 'codex-pool is installed on this machine'
    elif ! unshare --mount --propagation private --cgroup --pid --ipc --uts --fork --kill-child --mount-proc \
        sh tests/package/machine.sh "$work" view >/dev/null 2>&1; then
        echo 'this machine allows no views of it'
    fi
}

run_machine() {
    cgroup=$(sed -n 's/^0:://p' /proc/self/cgroup)
    cgroup=${cgroup%/}/codex-pool-deb-$$
    timeout 120 unshare --mount --propagation private sh -c '
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir "/sys/fs/cgroup$2"
        echo 0 >"/sys/fs/cgroup$2/cgroup.procs"
        exec unshare --mount --cgroup --pid --ipc --uts --fork --kill-child --mount-proc sh tests/package/machine.sh "$1" boot' \
        sh "$work" "$cgroup" || failed "the machine: ended with status $?"
    [ -e "$work/finished" ] || failed 'the machine: did not come to its end'
    cat "$work/output"
    ! grep -q '^FAILED' "$results" || sed 's/^/    /' "$work/log"
}

if ! have dpkg-deb || ! have dpkg-shlibdeps || ! have scdoc; then
    skipped 'the package: dpkg-dev or scdoc is not installed'
else
    check 'made twice, the same' made
    check 'contents, owners and modes' contents
    reason=$(why_not)
    if [ -z "$reason" ]; then
        run_machine
    else
        skipped "install, upgrade, remove: $reason"
    fi
fi

bad=$(grep -c '^FAILED' "$results" || :)
echo "$(grep -c '^ok' "$results" || :) passed, $bad failed, $(grep -c '^skipped' "$results" || :) skipped"
[ "$bad" = 0 ]
