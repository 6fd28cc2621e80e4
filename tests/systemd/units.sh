#!/bin/sh
# The systemd units: checked as they are installed, then the user's units run by a real user manager that sees nothing
# of this machine's own systemd. Ends with "N passed, M failed, K skipped".
set -eu
cd "$(dirname "$0")/../.."
build=${CODEX_POOL_BUILD:-build}
. tests/systemd/scratch.sh

# PREFIX is where the units then look for the daemon; it leads to what went below DESTDIR.
prefix=$work/prefix
install_units() {
    make -s --no-print-directory BUILD="$build" install DESTDIR="$work/a root" PREFIX="$prefix"
    ln -s "$work/a root$prefix" "$prefix"
}

installed_files() {
    man=
    ! have scdoc || man='
share/man/man1/codex-pool.1 644
share/man/man5/codex-pool.json.5 644
share/man/man7/codex-pool-protocol.7 644
share/man/man8/codex-poold.8 644'
    equals "bin/codex-pool 755
bin/codex-poold 755
lib/systemd/system/codex-pool.service 644
lib/systemd/system/codex-pool.socket 644
lib/systemd/user/codex-pool.service 644
lib/systemd/user/codex-pool.socket 644
lib/sysusers.d/codex-pool.conf 644
lib/tmpfiles.d/codex-pool.conf 644
share/bash-completion/completions/codex-pool 644
share/bash-completion/completions/codex-poold 644
share/codex-pool/candidates 755
share/codex-pool/prometheus/codex-pool.rules.yml 644
share/codex-pool/prometheus/grafana.json 644
share/fish/vendor_completions.d/codex-pool.fish 644
share/fish/vendor_completions.d/codex-poold.fish 644$man
share/zsh/site-functions/_codex-pool 644" "$(cd "$prefix/" && find . -type f -printf '%P %m\n' | LC_ALL=C sort)"
    ! grep -r @PREFIX@ "$prefix/" || return 1
}

uninstalled_files() {
    make -s --no-print-directory BUILD="$build" uninstall DESTDIR="$work/a root" PREFIX="$prefix"
    equals '' "$(find "$work/a root" -type f)$(find "$work/a root" -type d -name 'codex-pool*')"
}

# Silence is what systemd-analyze has to say of a good unit; of other units on this machine it may complain.
verify() {
    mkdir -p "$work/run"
    XDG_RUNTIME_DIR=$work/run systemd-analyze "--$1" --man=no --recursive-errors=no verify \
        "$prefix/lib/systemd/$1/codex-pool.service" "$prefix/lib/systemd/$1/codex-pool.socket" >"$work/said" 2>&1 || :
    equals '' "$(grep -e codex-pool -e "$work" "$work/said")"
}

# Of 10 (open) to 0; a service that protects nothing has 9.6.
security() {
    systemd-analyze security --no-pager --offline=true --threshold=35 "$prefix/lib/systemd/system/codex-pool.service"
}

account() {
    machine=$work/machine
    mkdir -p "$machine/etc" "$machine/run"
    systemd-sysusers --root="$machine" "$prefix/lib/sysusers.d/codex-pool.conf"
    systemd-tmpfiles --root="$machine" --create "$prefix/lib/tmpfiles.d/codex-pool.conf"
    ids=$(sed -n 's/^codex-pool:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' "$machine/etc/passwd")
    equals "750 $ids" "$(stat -c '%a %u:%g' "$machine/run/codex-pool")"
}

static_checks() {
    check 'make install: files and modes' installed_files
    if have systemd-analyze; then
        check 'system units: verified' verify system
        check 'system service: exposure' security
        check 'user units: verified' verify user
    else
        skipped 'units verified: systemd is not installed'
    fi
    if [ "$(id -u)" = 0 ] && have systemd-sysusers && have systemd-tmpfiles; then
        check 'account and runtime directory' account
    else
        skipped 'account and runtime directory: needs root and systemd'
    fi
}

# What keeps the units from being run here; nothing if they can be.
why_not() {
    if [ "$(id -u)" != 0 ]; then
        echo 'needs root'
    elif [ ! -x /lib/systemd/systemd ] || ! have systemctl; then
        echo 'systemd is not installed'
    elif ! have dbus-daemon; then
        echo 'dbus-daemon is not installed'
    elif ! unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then
        echo 'this machine allows no namespaces of its own'
    elif [ ! -x build/npm/node_modules/.bin/codex ]; then
        echo 'no Codex in build/npm: make npm'
    fi
}

run_units() {
    cgroup=$(sed -n 's/^0:://p' /proc/self/cgroup)
    cgroup=${cgroup%/}/codex-pool-test-$$
    status=0
    # Everything in there ends with its first process.
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc --ipc \
        sh tests/systemd/manager.sh "$work" "$prefix" "$cgroup" || status=$?
    [ "$status" = 0 ] || failed "units run: tests/systemd/manager.sh ended with status $status"
}

if install_units >"$work/said" 2>&1; then
    static_checks
    reason=$(why_not)
    if [ -z "$reason" ]; then
        run_units
    else
        skipped "units run: $reason"
    fi
    check 'make uninstall: nothing left' uninstalled_files
else
    failed 'make install'
    cat "$work/said"
fi

bad=$(grep -c '^FAILED' "$results" || :)
echo "$(grep -c '^ok' "$results" || :) passed, $bad failed, $(grep -c '^skipped' "$results" || :) skipped"
[ "$bad" = 0 ]
