# Sourced by manager.sh: the units of the system, by the same manager, which as root's can change to the service's account
# and hide from it what it is told to. Before that user's Codex has only what the unit leaves it.

socket=/run/codex-pool/codex-pool.sock
config=$work/config/codex-pool/config.json
export CODEX_POOL_SOCKET="$socket"

# The account, on this view of the machine only.
make_account() {
    machine=$work/accounts
    mkdir -p "$machine/etc" "$machine/run"
    cp /etc/passwd /etc/group "$machine/etc"
    systemd-sysusers --root="$machine" "$prefix/lib/sysusers.d/codex-pool.conf"
    mount --bind "$machine/etc/passwd" /etc/passwd
    mount --bind "$machine/etc/group" /etc/group
    systemd-tmpfiles --create --prefix=/run "$prefix/lib/tmpfiles.d/codex-pool.conf"
    # For a login before the service has run for the first time.
    systemd-tmpfiles --create --prefix=/var/lib --root="$machine" "$prefix/lib/tmpfiles.d/codex-pool.conf"
    equals '700 codex-pool:codex-pool' "$(stat -c '%a %U:%G' "$machine/var/lib/codex-pool")"
    chown -R codex-pool:codex-pool "$codex_home" "$workspace"
    chmod 711 "$work" "${codex_home%/*}"
    # Where a service speaks to its manager: a user's manager expects none but that user to.
    chmod 666 "$XDG_RUNTIME_DIR/systemd/notify"
}

account_socket() {
    user start codex-pool.socket
    equals '660 codex-pool:codex-pool 750' "$(stat -c '%a %U:%G' "$socket") $(stat -c %a "${socket%/*}")"
}

# Nothing of it is root's, and nothing in it may become root.
confined() {
    pid=$(daemon_pid)
    id=$(id -u codex-pool)
    equals "$id $id $id $id" "$(sed -n 's/^Uid:\t//p' "/proc/$pid/status" | tr '\t' ' ')"
    equals 0000000000000000 "$(sed -n 's/^CapBnd:\t//p' "/proc/$pid/status")"
    equals 1 "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")"
}

can_sandbox() {
    setpriv --reuid=65534 --regid=65534 --clear-groups unshare --user --map-root-user --pid --fork --mount-proc true
}

mkdir -p "${config%/*}"
configure '"poolSize": 1'
# What differs for a user's manager: its environment, where it keeps things and is told of them. The checkout may be in
# somebody's home, which the unit hides.
install_units system <<END
[Service]
Environment="HOME=${codex_home%/*}/home" "CODEX_HOME=$codex_home" "PATH=$PATH" "OUTSIDE=$outside"
Environment="XDG_CONFIG_HOME=$work/config"
UnsetEnvironment=TMPDIR XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
BindReadOnlyPaths=$XDG_RUNTIME_DIR/systemd/notify $(pwd) $work
BindPaths=${codex_home%/*}
END
check 'system: account and runtime directory' make_account
check 'system: the socket is for its group' account_socket
check 'system: a connection starts the service' started_by_connection
check 'system: an account without privileges' confined
check 'system: a turn' turn
if can_sandbox 2>/dev/null; then
    check 'system: a turn with a command in a sandbox' sandboxed_turn
else
    skipped 'system: a turn with a command in a sandbox: this machine lets no user make one'
fi
check 'system: reload keeps the process, takes the settings' reloaded
check 'system: reload of a wrong file fails and changes nothing' reload_refused
check 'system: stop leaves no process, the socket stays' stopped
check 'system: the socket goes with its unit' socket_stopped
