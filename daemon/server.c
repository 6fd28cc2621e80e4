#include "daemon/server.h"

#include "daemon/abort.h"
#include "daemon/children.h"
#include "daemon/client.h"
#include "daemon/control.h"
#include "daemon/crew.h"
#include "daemon/lease.h"
#include "daemon/metrics.h"
#include "daemon/pool.h"
#include "daemon/reload.h"
#include "daemon/renew.h"
#include "daemon/request.h"
#include "daemon/reserve.h"
#include "daemon/router.h"
#include "daemon/steer.h"
#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

/* After somebody has left, or was told very much, memory is given back to the system within this
 * time. */
#define TRIM_S 1.

uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool time_is_over(struct ev_loop *loop, ev_timer *timer, bool *last_call)
{
    if (!*last_call) {
        ev_timer_stop(loop, timer);
        ev_timer_set(timer, 0., timer->repeat);
        ev_timer_start(loop, timer);
    }
    *last_call = !*last_call;
    return !*last_call;
}

static struct server *server_of(struct ev_loop *loop)
{
    return ev_userdata(loop);
}

static void on_hangup(void *who)
{
    client_hung_up(who);
}

static const char *const admission_words[] = {
    [ADMISSION_OPEN] = "", [ADMISSION_PAUSED] = "Paused: ", [ADMISSION_DRAINING] = "Draining: "};

/* What `systemctl status` shows. */
static void tell_status(struct server *s)
{
    size_t ready = 0, busy = 0;
    if (s->phase != SERVER_RUNNING) {
        notify_status(&s->notify, "Stopping: running turns may finish");
        return;
    }
    for (size_t i = 0; i < s->n_workers; i++) {
        ready += worker_ready(s->workers[i]);
        busy += s->workers[i]->state == WORKER_BUSY || s->workers[i]->state == WORKER_ABORTING;
    }
    notify_status(&s->notify,
                  "%s%zu of %lld workers ready, %zu busy; %zu waiting; %zu clients%s%.60s",
                  admission_words[s->admission], ready, (long long)s->config->pool_size, busy,
                  s->queue.length, s->n_clients, s->start_failure ? "; " : "",
                  s->start_failure ? s->start_failure : "");
}

/* Clients that are gone, and output that waits, until there is neither. Nothing is freed deeper
 * down, so that no caller loses what it holds: where a write fails, its client is doomed. */
static void before_sleep(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct server *s = server_of(loop);
    struct client *c;
    struct worker *worker;
    (void)w;
    (void)revents;
    do {
        crew_count_parked(s);
        if (s->offer)
            pool_offer(s);
        if (s->renew)
            renew_next(s);
        while ((c = list_first(&s->doomed, struct client, in_doomed))) {
            abort_client(c);
            client_free(c);
            server_trim_later(s);
            if (s->n_clients < (size_t)s->config->max_clients && s->phase == SERVER_RUNNING)
                listener_resume(s);
        }
        steer_look_all(s);
        while ((worker = list_first(&s->dirty_workers, struct worker, in_dirty)))
            worker_flush(worker);
        while ((c = list_first(&s->dirty_clients, struct client, in_dirty)))
            client_flush(c);
    } while (s->offer || s->renew || !list_empty(&s->doomed) || !list_empty(&s->dirty_workers) ||
             !list_empty(&s->dirty_clients));
    if (list_empty(&s->resumed))
        ev_idle_stop(loop, &s->stay_awake);
    else
        ev_idle_start(loop, &s->stay_awake);
    if (s->log.left_out && !ev_is_active(&s->log_timer)) {
        ev_timer_set(&s->log_timer, LOG_SITE_MS / 1e3, 0.);
        ev_timer_start(loop, &s->log_timer);
    }
    reserve_refill();
    tell_status(s);
}

/* Lines that were left, a turn for each client a round, so that none of them holds up the rest. */
static void after_poll(struct ev_loop *loop, ev_check *w, int revents)
{
    struct list now;
    struct client *c;
    (void)w;
    (void)revents;
    list_init(&now);
    list_splice(&now, &server_of(loop)->resumed);
    while ((c = list_first(&now, struct client, in_resumed)))
        client_take_rest(c);
}

/* A crowd's small blocks lie between those that stay: without this their pages would stay, too. */
static void on_trim(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)timer;
    (void)revents;
    (void)malloc_trim(0);
}

void server_trim_later(struct server *s)
{
    if (!ev_is_active(&s->trim_timer)) {
        ev_timer_set(&s->trim_timer, TRIM_S, 0.);
        ev_timer_start(s->loop, &s->trim_timer);
    }
}

static void on_log(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    log_left_out(&server_of(loop)->log, false);
}

/* It is there so that the loop does not sleep; an idle watcher alone would have to wait for quiet.
 */
static void on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

static struct worker *worker_of_pid(const struct server *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->pid == pid)
            return s->workers[i];
    return NULL;
}

/* Every child, also what workers have orphaned: the daemon is their subreaper. */
static void on_child(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct server *s = server_of(loop);
    (void)w;
    (void)revents;
    for (;;) {
        siginfo_t info = {0};
        int status;
        /* Looked at before it is reaped, as long as its pid still names its group. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        struct worker *worker = worker_of_pid(s, info.si_pid);
        if (worker)
            (void)kill(-info.si_pid, SIGKILL);
        if (waitpid(info.si_pid, &status, WNOHANG) == info.si_pid && worker)
            worker_on_exit(worker, status);
    }
}

static void stop_workers(struct server *s)
{
    s->phase = SERVER_STOPPING;
    ev_timer_stop(s->loop, &s->drain_timer);
    for (size_t i = 0; i < s->n_workers; i++) {
        s->workers[i]->wanted = false;
        worker_stop(s->workers[i], false, "the pool is being shut down");
    }
    server_check_stopped(s);
}

static void interrupt_turns(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        list_for_each (it, &w->threads) {
            struct thread *t = list_entry(it, struct thread, in_owner);
            if (thread_busy(t))
                worker_ask_thread(w, "turn/interrupt", t->id, WHATEVER_RUNS, NULL, NULL);
        }
    }
}

/* What an interrupted turn gets to say its end before its worker is stopped. */
#define INTERRUPT_GRACE_S 1.0

static void on_drain(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct server *s = server_of(loop);
    (void)revents;
    if (timer->data) {
        stop_workers(s);
        return;
    }
    log_warn(&s->log, "turns still run after drainTimeoutMs: interrupting them");
    interrupt_turns(s);
    timer->data = s;
    ev_timer_set(timer, INTERRUPT_GRACE_S, 0.);
    ev_timer_start(loop, timer);
}

/* A turn that is promised counts: its client has been told of it. */
static bool anything_runs(const struct worker *w)
{
    if (w->state == WORKER_ABORTING)
        return true;
    return w->state == WORKER_BUSY &&
           (w->lease.unanswered || w->incoming || lease_conflicts(w, NULL));
}

void server_check_drained(struct server *s)
{
    if (s->phase != SERVER_DRAINING)
        return;
    for (size_t i = 0; i < s->n_workers; i++)
        if (anything_runs(s->workers[i]))
            return;
    stop_workers(s);
}

static void fail_all(struct list *waiting)
{
    struct request *r;
    while ((r = list_first(waiting, struct request, node)))
        request_fail(r, RPC_SHUTDOWN, "Worker pool has been shut down.");
}

void server_stop(struct server *s)
{
    if (s->phase != SERVER_RUNNING) {
        log_warn(&s->log, "told to stop again: not waiting any longer");
        stop_workers(s);
        for (size_t i = 0; i < s->n_workers; i++)
            worker_kill(s->workers[i]);
        return;
    }
    log_info(&s->log, "stopping: running turns may finish for %lld ms",
             (long long)s->config->drain_timeout_ms);
    notify_send(&s->notify, "STOPPING=1");
    s->phase = SERVER_DRAINING;
    listener_close(s);
    pool_reject_all(s, RPC_SHUTDOWN, "Worker pool has been shut down.");
    fail_all(&s->unready);
    fail_all(&s->retrying);
    steer_shut_down(s);
    ev_timer_set(&s->drain_timer, (double)s->config->drain_timeout_ms / 1e3, 0.);
    ev_timer_start(s->loop, &s->drain_timer);
    pool_settle_all(s);
    server_check_drained(s);
}

void server_check_stopped(struct server *s)
{
    if (s->phase != SERVER_STOPPING)
        return;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->pid > 0)
            return;
    ev_break(s->loop, EVBREAK_ALL);
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)w;
    (void)revents;
    server_stop(server_of(loop));
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    notify_send(&server_of(loop)->notify, "WATCHDOG=1");
}

static void init_watchers(struct server *s)
{
    double watchdog_s = notify_watchdog_s();
    ev_set_userdata(s->loop, s);
    ev_prepare_init(&s->before_sleep, before_sleep);
    ev_prepare_start(s->loop, &s->before_sleep);
    ev_check_init(&s->after_poll, after_poll);
    ev_check_start(s->loop, &s->after_poll);
    ev_idle_init(&s->stay_awake, on_idle);
    ev_signal_init(&s->on_term, on_stop_signal, SIGTERM);
    ev_signal_init(&s->on_int, on_stop_signal, SIGINT);
    reload_init(s);
    ev_signal_init(&s->on_child, on_child, SIGCHLD);
    ev_set_priority(&s->on_child, PRIORITY_HAPPENED);
    ev_signal_start(s->loop, &s->on_term);
    ev_signal_start(s->loop, &s->on_int);
    ev_signal_start(s->loop, &s->on_hup);
    ev_signal_start(s->loop, &s->on_child);
    ev_timer_init(&s->drain_timer, on_drain, 0., 0.);
    ev_timer_init(&s->watchdog, on_watchdog, watchdog_s, watchdog_s);
    if (watchdog_s > 0)
        ev_timer_start(s->loop, &s->watchdog);
    ev_timer_init(&s->trim_timer, on_trim, 0., 0.);
    ev_timer_init(&s->log_timer, on_log, 0., 0.);
    control_init(s);
}

static void init_lists(struct server *s)
{
    list_init(&s->clients);
    list_init(&s->tracers);
    list_init(&s->doomed);
    list_init(&s->dirty_clients);
    list_init(&s->resumed);
    list_init(&s->parks);
    list_init(&s->dirty_workers);
    list_init(&s->unready);
    list_init(&s->retrying);
    list_init(&s->steering);
    queue_init(&s->queue);
}

/* The machine lacks something without which there is nothing to begin with. */
static int cannot_start(struct server *s)
{
    log_error(&s->log, "cannot start: %s", strerror(errno));
    return EX_OSERR;
}

int server_init(struct server *s, struct config *config, const struct config_flags *flags)
{
    *s = (struct server){.config = config, .flags = *flags, .started_at = now_ms()};
    s->listener.fd = s->notify.fd = s->hangup.epoll_fd = -1;
    init_lists(s);
    metrics_init(s);
    log_init(&s->log, STDERR_FILENO);
    log_set(&s->log, config->log_level, config->log_format);
    (void)signal(SIGPIPE, SIG_IGN);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        log_warn(&s->log, "cannot become subreaper: %s", strerror(errno));
    rpc_init();
    if (reserve_init() < 0 || !(s->loop = ev_loop_new(EVFLAG_AUTO)) ||
        threads_init(&s->threads) < 0)
        return cannot_start(s);
    int r = notify_init(&s->notify);
    if (r < 0)
        log_warn(&s->log, "NOTIFY_SOCKET: %s", strerror(-r));
    init_watchers(s);
    if (hangup_init(&s->hangup, s->loop, on_hangup) < 0 || crew_resize(s) < 0)
        return cannot_start(s);
    int code = listener_init(s);
    return code == EX_OSERR ? cannot_start(s) : code;
}

static void free_clients(struct server *s)
{
    struct client *c;
    while ((c = list_first(&s->clients, struct client, in_clients))) {
        client_say_goodbye(c);
        client_flush(c);
        client_doom(c, "shut down");
        abort_client(c);
        client_free(c);
    }
}

void server_deinit(struct server *s)
{
    if (s->loop) {
        listener_close(s);
        free_clients(s);
        for (size_t i = 0; i < s->n_workers; i++)
            worker_free(s->workers[i]);
        free(s->workers);
        if (s->hangup.epoll_fd >= 0)
            hangup_deinit(&s->hangup);
        queue_deinit(&s->queue);
        if (s->threads.buckets)
            threads_deinit(&s->threads);
        ev_loop_destroy(s->loop);
    }
    reserve_deinit();
    notify_deinit(&s->notify);
    free(s->initialize_result);
    free(s->start_failure);
    config_free(s->config);
}

int server_run(struct server *s)
{
    log_info(&s->log, "codex-poold %s listens at %s%s, pool size %lld", CP_VERSION,
             s->listener.path, s->listener.inherited ? " (passed by systemd)" : "",
             (long long)s->config->pool_size);
    listener_resume(s);
    notify_send(&s->notify, "READY=1");
    if (s->config->prewarm)
        crew_prewarm(s);
    ev_run(s->loop, 0);
    log_left_out(&s->log, true);
    log_info(&s->log, "stopped");
    return s->exit_code;
}
