# Sourced by manager.sh: the units of a user.

socket=$XDG_RUNTIME_DIR/codex-pool/codex-pool.sock
config=$HOME/.config/codex-pool/config.json

socket_started() {
    user start codex-pool.socket
    equals '600 700' "$(stat -c %a "$socket") $(stat -c %a "${socket%/*}")"
    shows service ActiveState inactive
}

# says TEXT: the service's STATUS= has it.
says() {
    show service StatusText | grep -F "$1" || {
        show service StatusText
        return 1
    }
}

status_shown() {
    eventually says '1 of 1 workers ready, 0 busy'
}

reloaded() {
    pid=$(daemon_pid)
    configure '"poolSize": 2'
    user reload codex-pool.service
    eventually has_size 2
    eventually grep 'configuration reloaded' "$log"
    eventually shows service ActiveState active
    equals "$pid" "$(daemon_pid)"
}

reload_refused() {
    pid=$(daemon_pid)
    configure '"poolSize": "many"'
    user reload codex-pool.service
    eventually grep 'not reloaded.*poolSize' "$log"
    eventually shows service ActiveState active
    equals "$pid" "$(daemon_pid)"
    has_size 2
    configure '"poolSize": 1'
}

# SIGTERM is for the daemon alone: its workers finish what they do.
stopped_in_turn() {
    pool run --cwd "$workspace" 'hold on' >"$work/held" &
    run=$!
    eventually grep held "$work/held"
    eventually says '1 of 1 workers ready, 1 busy'
    user stop --no-block codex-pool.service
    eventually shows service ActiveState deactivating
    eventually says 'Stopping'
    kill -USR1 "$(cat "$work/model")"
    wait "$run"
    equals 'held and let go' "$(cat "$work/held")"
    eventually shows service ActiveState inactive
    shows service Result success
    no_process
}

restarted_after_kill() {
    started_by_connection
    kill -KILL "$(daemon_pid)"
    eventually shows service NRestarts 1
    eventually shows service ActiveState active
    turn
}

watched() {
    user stop codex-pool.service
    printf '[Service]\nWatchdogSec=5\n' >"$units/codex-pool.service.d/watchdog.conf"
    user daemon-reload
    pid=$(daemon_pid)
    eventually differs service WatchdogTimestampMonotonic "$(show service WatchdogTimestampMonotonic)"
    equals "$pid" "$(daemon_pid)"
    kill -STOP "$pid"
    eventually differs service MainPID "$pid"
    eventually shows service ActiveState active
    pool ping
    rm "$units/codex-pool.service.d/watchdog.conf"
    user daemon-reload
}

refused_configuration() {
    user stop codex-pool.service
    configure '"poolSize": 0'
    ! user start codex-pool.service || return 1
    equals '78 0 failed' "$(show service ExecMainStatus) $(show service NRestarts) $(show service ActiveState)"
    configure '"poolSize": 1'
    user reset-failed codex-pool.service
}

mkdir -p "${config%/*}"
configure '"poolSize": 1'
install_units user <<END
[Service]
Environment="CODEX_HOME=$codex_home" "PATH=$PATH" "OUTSIDE=$outside"
END
check 'user: the socket is there, the service waits' socket_started
check 'user: a connection starts the service' started_by_connection
check 'user: a turn' turn
check 'user: a turn with a command in a sandbox' sandboxed_turn
check 'user: STATUS= says who works' status_shown
check 'user: reload keeps the process, takes the settings' reloaded
check 'user: reload of a wrong file changes nothing' reload_refused
check 'user: stop leaves no process, the socket stays' stopped
check 'user: the next connection starts it again' started_by_connection
check 'user: stop lets a running turn finish' stopped_in_turn
check 'user: killed, it starts again and serves' restarted_after_kill
check 'user: the watchdog sees it live, replaces it when it hangs' watched
check 'user: a wrong configuration is no reason to start again' refused_configuration
check 'user: the socket goes with its unit' socket_stopped
