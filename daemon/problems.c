#include "daemon/problems.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/crew.h"
#include "proto/json.h"
#include "proto/rpc.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

/* A foreign holder of a lock is told for so long after somebody has met it. */
#define LOCKED_MS 60000
/* So many exits in a row are no accident. */
#define EXITS_IN_A_ROW 3
/* Of what somebody else said. */
#define QUOTE_MAX 160

static void add(cJSON *list, const char *code, const char *help, const char *format, ...)
    CP_PRINTF(4, 5);

static void add(cJSON *list, const char *code, const char *help, const char *format, ...)
{
    char text[512];
    va_list args;
    cJSON *o = cJSON_CreateObject();
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_clean_text(text);
    cJSON_AddStringToObject(o, "code", code);
    cJSON_AddStringToObject(o, "text", text);
    cJSON_AddStringToObject(o, "help", help);
    rpc_add(list, NULL, o);
}

/* "1 of 4 workers is", "2 of 4 workers are" */
static const char *is_or_are(size_t n)
{
    return n == 1 ? "is" : "are";
}

struct cause {
    const char *sign, *code, *help;
};

/* What the words of a start that failed mean; the last fits any. */
static const struct cause causes[] = {
    {"No such file", "codexNotFound",
     "set codex.command to the path of codex: a service has a short PATH"},
    {"Permission denied", "codexNotExecutable",
     "the daemon's user must be allowed to run the file that codex.command names"},
    {"Exec format error", "codexNotExecutable",
     "codex.command must name a program for this machine"},
    {"initialize was not answered", "codexSilent",
     "try `codex app-server` by hand as the daemon's user; codex.command may name another program, "
     "or startTimeoutMs be too short"},
    {"ogged in", "notLoggedIn", "run `codex login` as the daemon's user with the same CODEX_HOME"},
    {"", "workersDown",
     "try `codex app-server` by hand as the daemon's user with the same CODEX_HOME"},
};

static const struct cause *cause_of(const char *error)
{
    size_t i = 0;
    while (!strstr(error, causes[i].sign))
        i++;
    return &causes[i];
}

/* Workers that should run and do not, since codex does not start. */
static void workers_down(cJSON *list, const struct server *s)
{
    const char *error = NULL;
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        bool fails = w->start_failed && (w->state == WORKER_DOWN || w->state == WORKER_STARTING);
        n += fails;
        if (fails && w->last_error)
            error = w->last_error;
    }
    if (!n)
        return;
    const struct cause *cause = cause_of(error ? error : "");
    add(list, cause->code, cause->help, "%zu of %lld workers %s down: %.*s", n,
        (long long)s->config->pool_size, is_or_are(n), QUOTE_MAX, error ? error : "out of memory");
}

static void crash_loops(cJSON *list, const struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        const char *error = worker_last_error(w);
        if (w->failures >= EXITS_IN_A_ROW && !w->start_failed && error)
            add(list, "crashLoop",
                "its last words may say why (`codex-pool status --json`, lastError); it is started "
                "again, less and less often",
                "Worker %u has ended %u times in a row: %.*s", w->id, w->failures, QUOTE_MAX,
                error);
    }
}

static void login(cJSON *list, const struct server *s)
{
    if (s->login_refused)
        add(list, "notLoggedIn",
            "run `codex login` as the daemon's user with the same CODEX_HOME, or check the model "
            "provider's key",
            "The model refuses the login of the workers' Codex (unauthorized).");
}

static void model(cJSON *list, const struct server *s)
{
    uint64_t now = now_ms(), longest = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++)
        list_for_each (it, &s->workers[i]->threads) {
            const struct thread *t = list_entry(it, struct thread, in_owner);
            if (!t->retrying_since)
                continue;
            n++;
            longest = now - t->retrying_since > longest ? now - t->retrying_since : longest;
        }
    if (n)
        add(list, "modelUnreachable",
            "check the network and the model provider; turnStallTimeoutMs and maxTurnMs end such "
            "turns",
            "%zu turn%s cannot reach the model, for %llu s so far; Codex goes on trying.", n,
            n == 1 ? "" : "s", (unsigned long long)longest / 1000);
}

/* Every worker that there may be is busy, and its turn waits for somebody's answer. */
static void answers(cJSON *list, const struct server *s)
{
    size_t n = 0;
    const struct client *first = NULL;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        if (!crew_has(w))
            continue;
        if (w->state != WORKER_BUSY || !w->lease.holder || !asks_open(w))
            return;
        first = first ? first : w->lease.holder;
        n++;
    }
    if (n && first)
        add(list, "waitingForAnswers",
            "answer the approvals or tool calls, or end those turns; until then others wait",
            "All %zu workers wait for their clients to answer (client %u first).", n, first->id);
}

static void queue(cJSON *list, const struct server *s)
{
    if (s->queue.length >= (size_t)s->config->max_queue)
        add(list, "queueFull", "raise poolSize, or maxQueue where waiting is all right",
            "The queue is full (%zu wait): new requests are refused.", s->queue.length);
}

static void connections(cJSON *list, const struct server *s)
{
    bool full = s->n_clients >= (size_t)s->config->max_clients;
    /* As long as the next try is waited for. */
    if (s->listener.exhausted && ev_is_active(&s->listener.again) && !full)
        add(list, "noDescriptors",
            "raise LimitNOFILE of the service (`ulimit -n`), or lower maxClients",
            "No file descriptor is left for another client: who connects waits.");
    if (full)
        add(list, "tooManyClients", "raise maxClients, or find who does not disconnect",
            "maxClients (%zu) are connected: who else connects waits.", s->n_clients);
}

static void stalled(cJSON *list, const struct server *s)
{
    size_t n = 0;
    const struct client *worst = NULL;
    list_for_each (it, &s->clients) {
        const struct client *c = list_entry(it, struct client, in_clients);
        if (!client_backlogged(c))
            continue;
        n++;
        if (!worst || outbuf_len(&c->out) > outbuf_len(&worst->out))
            worst = c;
    }
    if (worst)
        add(list, "clientStalled",
            "its program hangs or is stopped; it is dropped after clientStallTimeoutMs, and the "
            "worker that it holds waits until then",
            "%zu client%s not read: client %u (%.60s, pid %d) leaves %zu kB lying.", n,
            n == 1 ? " does" : "s do", worst->id, worst->name ? worst->name : "no name",
            (int)worst->pid, outbuf_len(&worst->out) / 1000);
}

static void locked(cJSON *list, const struct server *s)
{
    const struct lock_met *met = &s->lock_met;
    /* Anybody's process answers to signal 0, if only by EPERM, as long as it is there. */
    bool there = met->pid > 0 && (kill(met->pid, 0) == 0 || errno == EPERM);
    if (there && now_ms() - met->at < LOCKED_MS)
        add(list, "lockedOutside",
            "close that conversation there, or end the process; `codex-pool locks` shows all",
            "Thread %s is held by process %d (%s), which is not of this pool.", met->thread_id,
            (int)met->pid, met->command);
}

static void held_back(cJSON *list, const struct server *s)
{
    unsigned long long seconds = (now_ms() - s->admission_since) / 1000;
    if (s->admission == ADMISSION_PAUSED)
        add(list, "paused", "`codex-pool resume` lets the queue go on",
            "An administrator has paused the pool %llu s ago: %zu wait.", seconds, s->queue.length);
    else
        add(list, "draining", "`codex-pool resume` ends that",
            "An administrator drains the pool since %llu s: it takes nothing new.", seconds);
}

cJSON *problems_build(const struct server *s)
{
    cJSON *list = cJSON_CreateArray();
    if (s->phase != SERVER_RUNNING)
        add(list, "stopping", "running turns may finish; try again when it is back",
            "The daemon is stopping and takes no new work.");
    else if (s->admission != ADMISSION_OPEN)
        held_back(list, s);
    workers_down(list, s);
    crash_loops(list, s);
    login(list, s);
    model(list, s);
    connections(list, s);
    queue(list, s);
    answers(list, s);
    stalled(list, s);
    locked(list, s);
    return list;
}

/* Codex names an error by a string or by an object of one member that may have the status of HTTP
 * (measured on 0.169: {"responseStreamDisconnected":{"httpStatusCode":401}}). */
static bool says_unauthorized(struct slice info)
{
    struct json_cursor c = {.p = info.p, .end = info.p + info.n};
    struct slice key;
    bool first = true;
    if (slice_is(json_text(info), "unauthorized"))
        return true;
    if (!info.n || !json_enter_object(&c) || !json_member(&c, &first, &key))
        return false;
    struct slice status = json_get(json_skip(&c, 0), "httpStatusCode");
    return slice_is(status, "401") || slice_is(status, "403");
}

void problems_heard(struct thread *t, const struct envelope *e)
{
    struct server *s = t->owner->server;
    bool error = slice_is(e->method, "error");
    if (!error && !t->retrying_since && !s->login_refused)
        return;
    if (error) {
        bool again = slice_is(json_get(e->params, "willRetry"), "true");
        if (!again)
            t->retrying_since = 0;
        else if (!t->retrying_since)
            t->retrying_since = now_ms();
        if (says_unauthorized(json_get(e->params, "error.codexErrorInfo")))
            s->login_refused = true;
    } else if (slice_starts(e->method, "item/") || slice_starts(e->method, "turn/")) {
        t->retrying_since = 0;
        if (s->login_refused && slice_is(e->method, "turn/completed") &&
            slice_is(json_get_text(e->params, "turn.status"), "completed"))
            s->login_refused = false;
    }
}

void problems_locked(struct server *s, const char *thread_id, const struct lock_holder *holder)
{
    struct lock_met *met = &s->lock_met;
    met->pid = holder->pid;
    met->at = now_ms();
    (void)snprintf(met->thread_id, sizeof(met->thread_id), "%s", thread_id);
    (void)snprintf(met->command, sizeof(met->command), "%s", holder->command);
}
