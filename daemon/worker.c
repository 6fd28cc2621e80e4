#include "daemon/worker.h"

#include "daemon/children.h"
#include "daemon/client.h"
#include "daemon/closed.h"
#include "daemon/crew.h"
#include "daemon/evict.h"
#include "daemon/limit.h"
#include "daemon/loss.h"
#include "daemon/pool.h"
#include "daemon/request.h"
#include "daemon/router.h"
#include "daemon/worker_io.h"
#include "proto/json.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* Between the end of stdin, SIGTERM and SIGKILL. Codex needs about 55 ms for either of the first
 * two (measured on 0.169). */
#define STOP_STEP_MS 2000
/* One that has closed its output and still lives after this is of no use. */
#define EXIT_GRACE_MS 1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 30000
/* One that was ready for so long has not failed to start. */
#define STEADY_MS 10000

static const char *const state_names[] = {
    [WORKER_DOWN] = "down", [WORKER_STARTING] = "starting", [WORKER_IDLE] = "idle",
    [WORKER_BUSY] = "busy", [WORKER_ABORTING] = "aborting", [WORKER_STOPPING] = "stopping",
};
static_assert(ARRAY_LEN(state_names) == WORKER_STOPPING + 1, "a name for each state");

const char *worker_state_name(enum worker_state state)
{
    return state_names[state];
}

bool worker_ready(const struct worker *w)
{
    return !w->exited &&
           (w->state == WORKER_IDLE || w->state == WORKER_BUSY || w->state == WORKER_ABORTING);
}

const char *worker_last_error(const struct worker *w)
{
    bool steady = worker_ready(w) && now_ms() - w->ready_at >= STEADY_MS;
    return steady ? NULL : w->last_error;
}

static uint64_t backoff_ms(const struct worker *w)
{
    unsigned doublings = w->failures ? w->failures - 1 : 0;
    uint64_t ms = doublings < 16 ? (uint64_t)BACKOFF_MIN_MS << doublings : BACKOFF_MAX_MS;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void stop_step(struct worker *w)
{
    /* The group exists as long as its leader is not reaped. */
    if (w->pid > 0)
        (void)kill(w->pid, w->timer.data ? SIGKILL : SIGTERM);
    if (w->pid > 0 && w->timer.data)
        (void)kill(-w->pid, SIGKILL);
    w->timer.data = w; /* from now on SIGKILL */
    w->timer.repeat = STOP_STEP_MS / 1e3;
    ev_timer_again(w->server->loop, &w->timer);
}

/* It has closed its output, so its exit should follow. */
static bool ends_by_itself(const struct worker *w)
{
    return w->output_closed && !w->exited && w->state != WORKER_DOWN && w->state != WORKER_STOPPING;
}

/* What the state's timer stands for has happened. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = container_of(timer, struct worker, timer);
    char reason[128];
    bool gives_up = w->state == WORKER_STARTING || w->state == WORKER_ABORTING || w->probing;
    (void)revents;
    if (gives_up && !time_is_over(loop, timer, &w->last_call))
        return;
    ev_timer_stop(loop, timer);
    if (ends_by_itself(w)) {
        worker_fail(w, "it closed its output");
        return;
    }
    switch (w->state) {
    case WORKER_DOWN:
        crew_start_workers(w->server);
        break;
    case WORKER_STARTING:
        (void)snprintf(reason, sizeof(reason), "initialize was not answered within %lld ms",
                       (long long)w->server->config->start_timeout_ms);
        worker_fail(w, reason);
        break;
    case WORKER_IDLE:
        crew_worker_unused(w);
        break;
    case WORKER_BUSY:
        crew_worker_silent(w);
        break;
    case WORKER_ABORTING:
        (void)snprintf(reason, sizeof(reason), "its turn did not end within %lld ms of the abort",
                       (long long)w->server->config->interrupt_timeout_ms);
        worker_stop(w, true, reason);
        break;
    case WORKER_STOPPING:
        stop_step(w);
        break;
    }
}

/* How long a state may last before on_timer looks at it; 0: for ever. */
static uint64_t state_limit_ms(const struct worker *w)
{
    const struct config *c = w->server->config;
    if (ends_by_itself(w))
        return EXIT_GRACE_MS;
    switch (w->state) {
    case WORKER_DOWN:
        return w->failures ? backoff_ms(w) : 0;
    case WORKER_STARTING:
        return (uint64_t)c->start_timeout_ms;
    case WORKER_IDLE:
        return crew_idle_limit_ms(w);
    case WORKER_BUSY:
        return crew_silence_left_ms(w);
    case WORKER_ABORTING:
        return (uint64_t)c->interrupt_timeout_ms;
    case WORKER_STOPPING:
        return STOP_STEP_MS;
    }
    return 0;
}

void worker_set_state(struct worker *w, enum worker_state state)
{
    if (state != w->state)
        log_worker(w, LOG_DEBUG, "%s -> %s", state_names[w->state], state_names[state]);
    w->state = state;
    if (state == WORKER_IDLE)
        w->idle_since = now_ms();
    ev_timer_stop(w->server->loop, &w->timer);
    w->timer.data = NULL;
    w->last_call = false;
    uint64_t ms = state_limit_ms(w);
    if (ms) {
        ev_timer_set(&w->timer, (double)ms / 1e3, 0.);
        ev_timer_start(w->server->loop, &w->timer);
    }
}

static void on_hold(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    pool_settle(container_of(timer, struct worker, hold));
}

struct worker *worker_new(struct server *s, unsigned id)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->server = s;
    w->id = id;
    w->closed = calloc(1, sizeof(*w->closed));
    if (!w->closed) {
        free(w);
        return NULL;
    }
    w->stdin_fd = w->stdout_fd = w->stderr_fd = w->exec_fd = -1;
    list_init(&w->in_dirty);
    list_init(&w->stuck);
    backlog_init(&w->unsent);
    list_init(&w->preparing);
    list_init(&w->asks);
    list_init(&w->threads);
    list_init(&w->lease.in_client);
    lane_init(&w->lane);
    ev_timer_init(&w->timer, on_timer, 0., 0.);
    ev_timer_init(&w->hold, on_hold, 0., 0.);
    evict_init(w);
    limit_init(w);
    worker_io_init(w);
    return w;
}

static void forget_process(struct worker *w)
{
    worker_io_close(w);
    for (size_t i = 0; i < STDERR_LINES; i++) {
        free(w->stderr_tail[i]);
        w->stderr_tail[i] = NULL;
    }
    free(w->start_error);
    free(w->stop_reason);
    free(w->mark);
    w->start_error = w->stop_reason = w->mark = NULL;
    w->pid = 0;
    w->exited = w->output_closed = w->exec_failed = w->probing = w->verifying = w->unloads =
        w->keeps_threads = w->failed = false;
    w->lacks = 0;
    w->retire = NULL;
    w->held_until = w->held_last = 0;
    memset(w->closed, 0, sizeof(*w->closed));
    memset(w->early_mcp, 0, sizeof(w->early_mcp));
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    assert(w->in_flight == 0 && list_empty(&w->threads) && !w->lease.holder);
    ev_timer_stop(w->server->loop, &w->timer);
    ev_timer_stop(w->server->loop, &w->hold);
    ev_timer_stop(w->server->loop, &w->evict);
    ev_timer_stop(w->server->loop, &w->limit);
    forget_process(w);
    backlog_deinit(&w->unsent);
    free(w->closed);
    free(w->path);
    free(w->version);
    free(w->last_error);
    free(w);
}

/* "NAME/0.169.0 (Debian …)": what follows the first slash, up to the space. */
static void learn_version(struct worker *w, struct slice result)
{
    struct slice agent = json_get_text(result, "userAgent");
    const char *slash = agent.n ? memchr(agent.p, '/', agent.n) : NULL;
    free(w->version);
    w->version = NULL;
    if (!slash)
        return;
    struct slice rest = {slash + 1, agent.n - (size_t)(slash + 1 - agent.p)};
    const char *space = memchr(rest.p, ' ', rest.n);
    if (space)
        rest.n = (size_t)(space - rest.p);
    w->version = slice_dup(rest);
}

static void on_initialized(struct worker *w, const struct envelope *answer, void *arg)
{
    struct server *s = w->server;
    (void)arg;
    /* One that is being killed for its being late stays dead. */
    if (w->state != WORKER_STARTING || w->start_error)
        return;
    if (answer && !answer->result.p) {
        _cleanup_free_ char *why = NULL;
        if (asprintf(&why, "initialize was refused: %.*s", (int)answer->error.n, answer->error.p) <
            0)
            why = NULL;
        worker_fail(w, why ? why : "initialize was refused");
        return;
    }
    /* It starts only with an answer to keep, having been told that it was heard. */
    char *result = answer ? slice_dup(answer->result) : NULL;
    if (!result || worker_send_line(w, SLICE("{\"method\":\"initialized\"}")) < 0) {
        free(result);
        worker_fail(w, strerror(ENOMEM));
        return;
    }
    learn_version(w, answer->result);
    free(s->initialize_result);
    s->initialize_result = result;
    w->ready_at = now_ms();
    histogram_add(&s->times[TIME_WORKER_START], (double)(w->ready_at - w->started_at) / 1e3);
    w->start_failed = false;
    free(s->start_failure);
    s->start_failure = NULL;
    log_event(&s->log, LOG_INFO, &(struct log_fields){.worker = w->id},
              "worker %u ready: pid %d, codex %s, %llu ms", w->id, (int)w->pid,
              w->version ? w->version : "of unknown version",
              (unsigned long long)(w->ready_at - w->started_at));
    crew_worker_ready(w);
}

static void ask_initialize(struct worker *w)
{
    cJSON *params = rpc_object();
    rpc_add(params, "clientInfo", cJSON_Duplicate(w->server->config->client_info, true));
    cJSON *capabilities = cJSON_AddObjectToObject(params, "capabilities");
    cJSON_AddBoolToObject(capabilities, "experimentalApi", true);
    worker_ask(w, "initialize", params, on_initialized, NULL);
}

/* There is no process, and there will be none until the next try. */
static void start_failed(struct worker *w, const char *reason)
{
    struct server *s = w->server;
    w->failures++;
    w->start_failed = true;
    free(s->start_failure);
    if (asprintf(&s->start_failure, "Cannot start codex: %s", reason) < 0)
        s->start_failure = NULL;
    free(w->last_error);
    w->last_error = s->start_failure ? strdup(s->start_failure) : NULL;
    forget_process(w);
    worker_set_state(w, WORKER_DOWN);
    log_worker(w, LOG_ERROR, "cannot start codex: %s; next try in %llu ms", reason,
               (unsigned long long)backoff_ms(w));
    crew_start_failed(w);
}

void worker_start(struct worker *w)
{
    struct server *s = w->server;
    struct spawned child = {0};
    char reason[512];
    assert(w->state == WORKER_DOWN && w->pid == 0);
    worker_set_state(w, WORKER_STARTING);
    w->started_at = now_ms();
    w->ready_at = w->last_heard = 0;
    w->streams_since_start = 0;
    w->event[0] = '\0';
    s->counters.worker_starts++;
    free(w->path);
    w->path = spawn_resolve(s->config);
    int r = w->path ? 0 : -errno;
    if (asprintf(&w->mark, SPAWN_MARK "=%d.%u.%u", (int)getpid(), w->id, ++w->starts) < 0)
        w->mark = NULL;
    if (r == 0)
        r = w->mark ? spawn_codex(s->config, w->path, w->mark, &child) : -ENOMEM;
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s: %s", s->config->codex_command, strerror(-r));
        start_failed(w, reason);
        return;
    }
    w->pid = child.pid;
    w->binary = child.binary;
    worker_io_open(w, &child);
    log_worker(w, LOG_DEBUG, "started %s as pid %d", w->path, (int)w->pid);
    ask_initialize(w);
}

void worker_kill(struct worker *w)
{
    if (w->pid <= 0)
        return;
    if (w->state != WORKER_STARTING && w->state != WORKER_STOPPING)
        worker_stop(w, false, "killed");
    (void)kill(w->pid, SIGKILL);
    (void)kill(-w->pid, SIGKILL);
}

void worker_fail(struct worker *w, const char *reason)
{
    if (w->state == WORKER_STARTING) {
        free(w->start_error);
        w->start_error = strdup(reason);
        worker_kill(w);
    } else if (worker_ready(w)) {
        w->failed = true;
        worker_stop(w, true, reason);
    }
}

void worker_stop(struct worker *w, bool replace, const char *reason)
{
    struct server *s = w->server;
    if (w->state == WORKER_DOWN || w->state == WORKER_STOPPING)
        return;
    log_worker(w, LOG_INFO, "stopping: %s", reason);
    if (replace)
        s->counters.worker_replaced++;
    w->replace = replace;
    free(w->stop_reason);
    w->stop_reason = strdup(reason);
    worker_set_state(w, WORKER_STOPPING);
    worker_io_close_stdin(w);
    loss_tell(w, reason);
    worker_update_reading(w);
}

char *worker_stderr(const struct worker *w)
{
    char *text = NULL;
    for (unsigned i = 0; i < STDERR_LINES; i++) {
        const char *line = w->stderr_tail[(w->stderr_next + i) % STDERR_LINES];
        char *longer = NULL;
        if (!line)
            continue;
        if (asprintf(&longer, "%s%s%s", text ? text : "", text ? "\n" : "", line) < 0)
            longer = NULL;
        free(text);
        text = longer;
    }
    return text;
}

/* "exit code 1: last lines", "signal 9 (Killed)", "exec: No such file or directory". */
static char *describe_exit(const struct worker *w, int status)
{
    _cleanup_free_ char *tail = worker_stderr(w);
    char how[128];
    char *text = NULL;
    if (w->exec_failed)
        (void)snprintf(how, sizeof(how), "%s", strerror(w->exec_errno));
    else if (w->start_error)
        (void)snprintf(how, sizeof(how), "%s", w->start_error);
    else if (WIFSIGNALED(status))
        (void)snprintf(how, sizeof(how), "signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(how, sizeof(how), "exit code %d", WEXITSTATUS(status));
    if (asprintf(&text, "%s%s%s", how, tail ? ": " : "", tail ? tail : "") < 0)
        return NULL;
    return text;
}

/* What is to happen in its place now that it is gone. */
static void after_exit(struct worker *w, enum worker_state was, const char *how)
{
    struct server *s = w->server;
    bool replace = w->replace, steady = now_ms() - w->ready_at >= STEADY_MS;
    w->replace = false;
    if (was == WORKER_STARTING) {
        start_failed(w, how);
    } else if (was == WORKER_STOPPING && !w->failed) {
        w->failures = 0;
        forget_process(w);
        worker_set_state(w, WORKER_DOWN);
        w->wanted = replace;
    } else {
        const char *why = w->stop_reason ? w->stop_reason : how;
        w->failures = steady ? 1 : w->failures + 1;
        w->restarts += was != WORKER_STOPPING;
        /* Its clients, and the status, are told its last words, too. */
        log_worker(w, LOG_WARN, "exited: %.*s; next start in %llu ms", (int)strcspn(why, ":"), why,
                   (unsigned long long)backoff_ms(w));
        log_worker(w, LOG_TRACE, "exited: %.200s", why);
        free(w->last_error);
        if (asprintf(&w->last_error, "Worker exited (%s)", why) < 0)
            w->last_error = NULL;
        forget_process(w);
        worker_set_state(w, WORKER_DOWN);
    }
    crew_worker_gone(w);
    server_check_drained(s);
    server_check_stopped(s);
}

void worker_on_exit(struct worker *w, int status)
{
    enum worker_state was = w->state;
    w->exited = true;
    worker_io_drain(w);
    /* What is sent there from now on fails at once; and looking for what it has left behind takes
     * descriptors, which may be short. */
    worker_io_close(w);
    w->server->counters.worker_exits++;
    _cleanup_free_ char *how = describe_exit(w, status);
    const char *reason = how ? how : "out of memory";
    children_kill_marked(w->mark);
    /* Nobody may be given to it any more while the others are told. */
    worker_set_state(w, WORKER_STOPPING);
    loss_tell(w, w->stop_reason ? w->stop_reason : reason);
    after_exit(w, was, reason);
}
