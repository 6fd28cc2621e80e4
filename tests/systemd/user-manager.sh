#!/bin/sh
# user-manager.sh WORK PREFIX CGROUP: the first process of a PID and mount namespace of its own. Starts a systemd user
# manager there and runs the installed user units: reports to WORK/results, as report.sh does.
set -eu
work=$1
prefix=$2
cgroup=/sys/fs/cgroup$3
results=$work/results
. tests/systemd/report.sh

# A /run of our own, in which a systemd seems to have booted this machine, and a home of our own.
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/user/0 "$cgroup" "$work/home/.config/codex-pool"
chmod 700 /run/user/0
echo 0 >"$cgroup/cgroup.procs"
export HOME="$work/home" XDG_RUNTIME_DIR=/run/user/0 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/0/bus
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME CODEX_HOME CODEX_POOL_SOCKET NOTIFY_SOCKET

config=$HOME/.config/codex-pool/config.json
socket=$XDG_RUNTIME_DIR/codex-pool/codex-pool.sock
log=$work/daemon.log
units=$XDG_RUNTIME_DIR/systemd/user
codex=$(pwd)/build/npm/node_modules/.bin/codex

user() {
    systemctl --user "$@"
}

# show UNIT PROPERTY
show() {
    user show --value -p "$2" "codex-pool.$1"
}

shows() {
    equals "$3" "$(show "$1" "$2")"
}

pool() {
    "$prefix/bin/codex-pool" "$@"
}

# What the daemon says of itself: its process, its workers' number.
daemon_pid() {
    pool call pool/ping | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'
}

pool_size() {
    pool call pool/status | tr -d ' \n' | sed -n 's/.*"pool":{[^}]*"size":\([0-9]*\).*/\1/p'
}

# configure POOL-SIZE
configure() {
    printf '{"poolSize": %s, "codex": {"command": "%s"}}\n' "$1" "$codex" >"$config"
}

# What the service has running; the group is gone with the last process.
service_processes() {
    find "$cgroup" -path '*codex-pool.service*' -name cgroup.procs -exec cat {} +
}

no_process() {
    equals '' "$(for pid in $(service_processes); do tr '\0' ' ' <"/proc/$pid/cmdline"; done)"
}

start_manager() {
    dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --fork --nopidfile
    # What it prints is about a machine that was not booted by it.
    /lib/systemd/systemd --user >"$work/manager.log" 2>&1 &
    manager=$!
    eventually user list-units
}

install_units() {
    mkdir -p "$units/codex-pool.service.d"
    cp "$prefix"/lib/systemd/user/codex-pool.* "$units"
    cat >"$units/codex-pool.service.d/test.conf" <<END
[Service]
Environment="CODEX_HOME=$CODEX_HOME" "PATH=$PATH"
StandardOutput=append:$log
StandardError=append:$log
LimitCORE=0
END
    user daemon-reload
}

socket_started() {
    user start codex-pool.socket
    equals '600 700' "$(stat -c %a "$socket") $(stat -c %a "${socket%/*}")"
    shows service ActiveState inactive
}

started_by_connection() {
    pool ping
    shows service ActiveState active
    equals "$(show service MainPID)" "$(daemon_pid)"
}

turn() {
    equals "$ANSWER" "$(pool run "$PROMPT" 2>"$work/thread")"
}

status_shown() {
    show service StatusText
    show service StatusText | grep -q '1'
}

reloaded() {
    pid=$(daemon_pid)
    configure 2
    user reload codex-pool.service
    eventually shows service ActiveState active
    eventually equals 2 "$(pool_size)"
    equals "$pid" "$(daemon_pid)"
}

bad_reload() {
    pid=$(daemon_pid)
    printf '{"poolSize": "many"}\n' >"$config"
    user reload codex-pool.service
    eventually grep poolSize "$log"
    eventually shows service ActiveState active
    equals "$pid 2" "$(daemon_pid) $(pool_size)"
    configure 1
}

stopped() {
    user stop codex-pool.service
    shows service ActiveState inactive
    shows service Result success
    no_process
    shows socket ActiveState active
    [ -S "$socket" ]
}

restarted_after_kill() {
    pid=$(daemon_pid)
    kill -KILL "$pid"
    eventually sh -c "systemctl --user show --value -p NRestarts codex-pool.service | grep -qx 1"
    eventually shows service ActiveState active
    turn
}

watched() {
    user stop codex-pool.service
    printf '[Service]\nWatchdogSec=3\n' >"$units/codex-pool.service.d/watchdog.conf"
    user daemon-reload
    pid=$(daemon_pid)
    first=$(show service WatchdogTimestampMonotonic)
    eventually differs "$first" service WatchdogTimestampMonotonic
    equals "$pid" "$(daemon_pid)"
    kill -STOP "$pid"
    eventually differs "$pid" service MainPID
    eventually shows service ActiveState active
    pool ping
    rm "$units/codex-pool.service.d/watchdog.conf"
    user daemon-reload
}

# differs BEFORE UNIT PROPERTY: it is something else now.
differs() {
    now=$(show "$2" "$3")
    [ "$now" != "$1" ] && [ "$now" != 0 ]
}

refused_configuration() {
    user stop codex-pool.service
    printf '{"poolSize": 0}\n' >"$config"
    ! user start codex-pool.service || return 1
    equals '78 0' "$(show service ExecMainStatus) $(show service NRestarts)"
    shows service ActiveState failed
    configure 1
    user reset-failed codex-pool.service
}

socket_stopped() {
    user stop codex-pool.socket codex-pool.service
    no_process
    [ ! -e "$socket" ]
}
