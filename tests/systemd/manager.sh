#!/bin/sh
# manager.sh WORK PREFIX CGROUP: the first process of a PID and mount namespace of its own. Starts a systemd user manager
# there, runs the installed units, first the user's, then the system's, and reports to WORK/results.
set -eu
work=$1
prefix=$2
cgroup=/sys/fs/cgroup$3
results=$work/results
. tests/systemd/report.sh

# A /run of our own, in which a systemd seems to have booted this machine, and a home of our own.
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/user/0 "$cgroup" "$work/home"
chmod 700 /run/user/0
echo 0 >"$cgroup/cgroup.procs"
export HOME="$work/home" TMPDIR="$work" XDG_RUNTIME_DIR=/run/user/0
export DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/0/bus
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME CODEX_HOME CODEX_POOL_SOCKET NOTIFY_SOCKET

units=$XDG_RUNTIME_DIR/systemd/user
log=$work/daemon.log
codex=$(pwd)/build/npm/node_modules/.bin/codex
# What the model's commands try to write to besides the folder they work in.
outside=$work/outside

user() {
    systemctl --user "$@"
}

# show UNIT PROPERTY
show() {
    user show --value -p "$2" "codex-pool.$1"
}

# shows UNIT PROPERTY VALUE
shows() {
    equals "$3" "$(show "$1" "$2")"
}

# differs UNIT PROPERTY BEFORE: it is something else now.
differs() {
    now=$(show "$1" "$2")
    [ "$now" != "$3" ] && [ "$now" != 0 ]
}

pool() {
    "$prefix/bin/codex-pool" "$@"
}

# What the daemon says of itself: its process, the number of its workers.
daemon_pid() {
    pool call pool/ping | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'
}

has_size() {
    pool call pool/status | tr -d ' \n' | grep -q "\"pool\":{[^}]*\"size\":$1[,}]"
}

# configure SETTINGS
configure() {
    printf '{"codex": {"command": "%s"}, %s}\n' "$codex" "$1" >"$config"
}

# What the service has running; its group is gone with the last process.
no_process() {
    equals '' "$(find "$cgroup" -path '*codex-pool.service*' -name cgroup.procs -exec cat {} + |
        while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline"; done)"
}

start_manager() {
    dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --fork --nopidfile
    # What it prints is about a machine that it did not boot.
    /lib/systemd/systemd --user >"$work/manager.log" 2>&1 &
    echo $! >"$work/manager"
    eventually user list-units
}

start_model() {
    node tests/systemd/model.mjs >"$work/model.log" 2>&1 &
    echo $! >"$work/model"
    eventually grep / "$work/model.log"
}

# install_units KIND: the units as they were installed, with what the test adds to the service from standard input.
install_units() {
    mkdir -p "$units/codex-pool.service.d"
    cp "$prefix/lib/systemd/$1"/codex-pool.* "$units"
    cat - >"$units/codex-pool.service.d/test.conf"
    printf '[Service]\nStandardOutput=append:%s\nStandardError=append:%s\nLimitCORE=0\n' "$log" "$log" \
        >"$units/codex-pool.service.d/log.conf"
    user daemon-reload
}

started_by_connection() {
    pool ping
    eventually shows service ActiveState active
    equals "$(show service MainPID)" "$(daemon_pid)"
}

turn() {
    equals 'hello from the model' "$(pool run --cwd "$workspace" 'say hello' 2>/dev/null)"
}

# Codex puts the command into a sandbox; that takes namespaces, which the unit must not forbid.
sandboxed_turn() {
    rm -f "$workspace/inside.txt"
    answer=$(pool run --cwd "$workspace" 'write files' 2>&1)
    echo "$answer"
    echo "$answer" | grep -q refused
    equals inside "$(cat "$workspace/inside.txt")"
    [ ! -e "$outside" ]
}

# When the command is done the settings are in force.
reloaded() {
    pid=$(daemon_pid)
    configure '"poolSize": 2'
    user reload codex-pool.service
    has_size 2
    shows service ActiveState active
    equals "$pid" "$(daemon_pid)"
}

reload_refused() {
    pid=$(daemon_pid)
    before=$(wc -l <"$log")
    configure '"poolSize": "many"'
    refused=
    user reload codex-pool.service || refused=1
    configure '"poolSize": 1'
    equals 1 "$refused"
    tail -n "+$((before + 1))" "$log" | grep 'poolSize: must be a whole number'
    shows service ActiveState active
    equals "$pid" "$(daemon_pid)"
    has_size 2
    user reload codex-pool.service
    has_size 1
}

stopped() {
    user stop codex-pool.service
    shows service ActiveState inactive
    shows service Result success
    no_process
    shows socket ActiveState active
    [ -S "$socket" ]
}

socket_stopped() {
    user stop codex-pool.socket codex-pool.service
    no_process
    [ ! -e "$socket" ]
}

check 'a user manager of its own' start_manager
check 'a local model' start_model
read -r codex_home workspace <"$work/model.log"
. tests/systemd/user-units.sh
. tests/systemd/system-units.sh

if grep -q '^FAILED' "$results"; then
    echo 'what the daemon logged:'
    sed 's/^/    /' "$log" || :
    echo 'what the manager logged:'
    tail -n 30 "$work/manager.log" | sed 's/^/    /'
fi
# The manager ends its units and the groups it made; the namespace's end takes whatever else there is.
kill "$(cat "$work/manager")" "$(cat "$work/model")"
eventually sh -c "! kill -0 $(cat "$work/manager") 2>/dev/null"
