#!/bin/sh
# installed.sh WORK: on the machine that machine.sh has made, by its systemd: what dpkg does with the package.
set -eu
work=$1
results=$work/results
exec >"$work/output" 2>&1
. tests/systemd/report.sh
export DEBIAN_FRONTEND=noninteractive
config=/etc/codex-pool/config.json
socket=/run/codex-pool/codex-pool.sock

active() {
    equals "$2" "$(systemctl show --value -p ActiveState "codex-pool.$1")"
}

daemon_pid() {
    codex-pool call pool/ping | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'
}

has_size() {
    codex-pool call pool/status | grep -q "\"pool\":{[^}]*\"size\":$1[,}]"
}

# What there is of it anywhere, but for the user.
files() {
    find /etc /usr /var /run -xdev -name '*codex-pool*' ! -path "$work/*" | LC_ALL=C sort
}

installed() {
    equals '' "$(files)"
    dpkg -i "$work/0.1.0-1.deb"
    equals 'install ok installed' "$(dpkg-query -W -f '${Status}' codex-pool)"
    equals '' "$(dpkg -V codex-pool)"
    equals 0.1.0-1 "$(dpkg-query -W -f '${Version}' codex-pool)"
    man -w codex-poold codex-pool
}

started() {
    equals enabled "$(systemctl is-enabled codex-pool.socket)"
    active socket active
    active service inactive
    equals '660 codex-pool:codex-pool' "$(stat -c '%a %U:%G' "$socket")"
    codex-pool ping
    active service active
    equals "$(systemctl show --value -p MainPID codex-pool.service)" "$(daemon_pid)"
    equals codex-pool "$(stat -c %U "/proc/$(daemon_pid)")"
    equals '700 codex-pool:codex-pool' "$(stat -c '%a %U:%G' /var/lib/codex-pool)"
}

configured() {
    pid=$(daemon_pid)
    has_size 2
    echo '{"poolSize": 3, "prewarm": false}' >"$config"
    systemctl reload codex-pool.service
    has_size 3
    equals "$pid" "$(daemon_pid)"
}

# A newer package: the daemon is a new one, the configuration the old one, and no client finds the socket closed.
upgraded() {
    pid=$(daemon_pid)
    (while [ ! -e "$work/enough" ]; do codex-pool ping || :; done) >"$work/pings" 2>&1 &
    pings=$!
    eventually grep "pid $pid" "$work/pings"
    dpkg -i "$work/0.1.0-2.deb"
    [ "$(daemon_pid)" != "$pid" ]
    eventually grep "pid $(daemon_pid)" "$work/pings"
    touch "$work/enough"
    wait "$pings" || :
    ! grep 'no daemon at' "$work/pings" || return 1
    equals 0.1.0-2 "$(dpkg-query -W -f '${Version}' codex-pool)"
    equals '{"poolSize": 3, "prewarm": false}' "$(cat "$config")"
    has_size 3
}

stays_disabled() {
    systemctl --quiet disable --now codex-pool.socket codex-pool.service
    dpkg -i "$work/0.1.0-1.deb"
    active socket inactive
    active service inactive
    systemctl --quiet enable --now codex-pool.socket
    codex-pool ping
}

# It goes, with its processes; the configuration, its home and what it remembers stay.
removed() {
    touch /var/lib/codex-pool/kept /etc/codex-pool/environment
    dpkg -r codex-pool
    equals '' "$(ps -o pid= -u codex-pool)"
    [ ! -e "$socket" ]
    equals not-found "$(systemctl show --value -p LoadState codex-pool.service)"
    equals "$config" "$(dpkg-query -L codex-pool | grep "^$config\$")"
    equals '{"poolSize": 3, "prewarm": false}' "$(cat "$config")"
    [ -e /var/lib/codex-pool/kept ]
    equals '' "$(find /usr -name '*codex-pool*')"
}

came_back() {
    dpkg -i "$work/0.1.0-2.deb"
    has_size 3
}

purged() {
    dpkg -P codex-pool
    equals '' "$(files)"
    equals '' "$(ps -o pid= -u codex-pool)"
    ! dpkg-query -W codex-pool || return 1
}

# What makes a machine of it.
systemctl start basic.target
check 'package: installed' installed
check 'package: its socket listens, the first client starts the service' started
check 'package: takes what is configured' configured
check 'package: upgraded, the configuration kept, under clients' upgraded
check 'package: disabled, it stays so' stays_disabled
check 'package: removed, what is configured stays' removed
check 'package: comes back as it was' came_back
check 'package: purged, nothing stays' purged
touch "$work/finished"
