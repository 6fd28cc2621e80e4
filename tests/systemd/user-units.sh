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

# STATUS= has the numbers of `codex-pool status`, which is itself one client more.
status_agrees() {
    told=$(show service StatusText)
    equals "$(pool status --json | node -e '
        const { pool, queue, clients } = JSON.parse(require("fs").readFileSync(0));
        console.log(`${pool.ready} of ${pool.size} workers ready, ${pool.busy} busy; ` +
            `${queue.length} waiting; ${clients.length - 1} clients`);')" "$told"
}

# The service is not there yet: its first clients wait for it, all of them.
served_from_nothing() {
    shows service ActiveState inactive
    for i in 1 2 3; do
        pool run --cwd "$workspace" 'say hello' >"$work/early.$i" 2>"$work/early.$i.err" &
        eval "early_$i=$!"
    done
    for i in 1 2 3; do
        eval "wait \"\$early_$i\"" || cat "$work/early.$i.err"
        equals 'hello from the model' "$(cat "$work/early.$i")"
    done
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

queue_is() {
    says "; $1 waiting;"
}

# On the socket that systemd keeps: who waits in the old daemon's queue is told to try again, who connects while it
# stops is served by the new one, and nobody finds the socket closed.
restarted_under_clients() {
    pid=$(daemon_pid)
    before=$(stat -c %i "$socket")
    pool run --cwd "$workspace" 'hold on' >"$work/held" &
    run=$!
    eventually grep held "$work/held"
    pool run --cwd "$workspace" 'say hello' >"$work/queued" 2>&1 &
    queued=$!
    eventually queue_is 1
    (while [ ! -e "$work/enough" ]; do pool ping || :; done) >"$work/pings" 2>&1 &
    pings=$!
    eventually grep "pid $pid" "$work/pings"
    user restart --no-block codex-pool.service
    eventually says 'Stopping'
    queued_status=0
    wait "$queued" || queued_status=$?
    equals 75 "$queued_status"
    for i in 1 2 3 4 5; do
        pool run --cwd "$workspace" 'say hello' >"$work/late.$i" 2>"$work/late.$i.err" &
        eval "late_$i=$!"
    done
    equals 'Stopping' "$(show service StatusText | cut -d: -f1)"
    kill -USR1 "$(cat "$work/model")"
    wait "$run"
    equals 'held and let go' "$(cat "$work/held")"
    for i in 1 2 3 4 5; do
        eval "wait \"\$late_$i\"" || cat "$work/late.$i.err"
        equals 'hello from the model' "$(cat "$work/late.$i")"
    done
    [ "$(daemon_pid)" != "$pid" ]
    eventually grep "pid $(daemon_pid)" "$work/pings"
    touch "$work/enough"
    wait "$pings" || :
    ! grep 'no daemon at' "$work/pings" || return 1
    equals "$before" "$(stat -c %i "$socket")"
}

# A turn without an end and a worker that does not listen keep nobody from stopping it, long before systemd would kill.
stopped_in_time() {
    configure '"poolSize": 1, "drainTimeoutMs": 100'
    user reload codex-pool.service
    pool run --cwd "$workspace" 'hold on' >"$work/held" 2>&1 &
    run=$!
    eventually grep held "$work/held"
    pool call pool/status | sed -n 's/.*"workers":\[{"id":[0-9]*,"pid":\([0-9]*\),.*/\1/p' >"$work/worker"
    kill -STOP "$(cat "$work/worker")"
    user stop codex-pool.service
    shows service Result success
    no_process
    ! wait "$run" || return 1
    kill -USR1 "$(cat "$work/model")"
    configure '"poolSize": 1'
}

restarted_after_kill() {
    # It has been started often enough for systemd to give up.
    user reset-failed codex-pool.service
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
check 'user: STATUS= and codex-pool status agree' eventually status_agrees
check 'user: reload keeps the process, takes the settings' reloaded
check 'user: reload of a wrong file fails and changes nothing' reload_refused
check 'user: stop leaves no process, the socket stays' stopped
check 'user: the first clients wait until it is ready' served_from_nothing
check 'user: restart on the kept socket, with clients' restarted_under_clients
check 'user: stop lets a running turn finish' stopped_in_turn
check 'user: the next connection starts it again' started_by_connection
check 'user: stop is in time though a worker hangs' stopped_in_time
check 'user: killed, it starts again and serves' restarted_after_kill
check 'user: the watchdog sees it live, replaces it when it hangs' watched
check 'user: a wrong configuration is no reason to start again' refused_configuration
check 'user: the socket goes with its unit' socket_stopped
