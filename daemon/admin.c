#include "daemon/admin.h"

#include "daemon/crew.h"
#include "daemon/lease.h"
#include "daemon/limit.h"
#include "daemon/pool.h"
#include "daemon/reload.h"
#include "daemon/renew.h"
#include "daemon/steer.h"
#include "proto/json.h"

#include <stdio.h>

static void refuse(struct client *c, const struct envelope *e, const char *message)
{
    client_send_take(c, rpc_error(e->id, RPC_INVALID_PARAMS, message, NULL));
}

static void answer(struct client *c, const struct envelope *e, cJSON *result)
{
    client_send_take(c, rpc_result(e->id, result));
}

/* A whole number from 1; 0 for anything else. */
static unsigned whole(struct slice text)
{
    unsigned n = 0;
    if (text.n > 9)
        return 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        n = n * 10 + (unsigned)(text.p[i] - '0');
    }
    return n;
}

static struct worker *worker_of(const struct server *s, const struct steer_worker *each)
{
    return s->workers[each->id - 1]; /* their number never falls */
}

static void look_resized(struct server *s, struct steer *t)
{
    if ((uint64_t)s->config->pool_size != t->number) {
        steer_fail(t, RPC_ABORTED, "poolSize was changed again meanwhile.");
        return;
    }
    for (size_t i = 0; i < t->n_workers; i++) {
        const struct worker *w = worker_of(s, &t->workers[i]);
        if (crew_has(w) && w->wanted && w->state == WORKER_DOWN && w->start_failed) {
            steer_fail(t, RPC_WORKER_START, s->start_failure ? s->start_failure : "");
            return;
        }
        if (crew_has(w) ? w->wanted && !worker_ready(w) : w->state != WORKER_DOWN)
            return;
    }
    cJSON *result = rpc_object();
    cJSON_AddNumberToObject(result, "size", (double)t->number);
    steer_answer(t, result);
}

void admin_resize(struct client *c, struct slice line, const struct envelope *e)
{
    struct server *s = c->server;
    size_t before = (size_t)s->config->pool_size;
    unsigned size = whole(json_get(e->params, "size"));
    (void)line;
    if (size < 1 || size > CONFIG_POOL_SIZE_MAX) {
        refuse(c, e, "size must be a whole number from 1 to 256.");
        return;
    }
    s->config->pool_size = size;
    if (crew_resize(s) < 0) {
        s->config->pool_size = (int64_t)before;
        (void)!crew_resize(s); /* there are places for as many */
        client_send_take(c, rpc_error(e->id, RPC_INTERNAL, "Out of memory for workers.", NULL));
        return;
    }
    log_info(&s->log, "client %u: the pool is resized from %zu to %u workers", c->id, before, size);
    struct steer *t = steer_begin(c, e, "pool/resize", look_resized);
    if (t) {
        t->number = size;
        for (size_t i = before < size ? before : size; i < s->n_workers; i++)
            steer_add_worker(t, (unsigned)i + 1, 0);
    }
    s->offer = true;
    crew_start_workers(s);
}

static void look_recycled(struct server *s, struct steer *t)
{
    for (size_t i = 0; i < t->n_workers; i++) {
        const struct worker *w = worker_of(s, &t->workers[i]);
        bool again = w->starts >= t->workers[i].starts;
        if (again && w->state == WORKER_DOWN && w->start_failed && crew_has(w)) {
            steer_fail(t, RPC_WORKER_START, s->start_failure ? s->start_failure : "");
            return;
        }
        if (crew_has(w) ? !(again && worker_ready(w)) : w->state != WORKER_DOWN)
            return;
    }
    cJSON *result = rpc_object();
    cJSON *list = cJSON_AddArrayToObject(result, "recycled");
    for (size_t i = 0; i < t->n_workers; i++)
        rpc_add(list, NULL, cJSON_CreateNumber(t->workers[i].id));
    steer_answer(t, result);
}

/* One that is on its way to be ready is as good as new. */
static void recycle(struct worker *w, struct steer *t)
{
    if (w->state == WORKER_DOWN && !w->wanted)
        return; /* there will be a new one when somebody needs it */
    if (t)
        steer_add_worker(t, w->id, w->state == WORKER_STARTING ? w->starts : w->starts + 1);
    if (w->state == WORKER_DOWN)
        crew_retry(w);
    else if (worker_ready(w))
        renew_retire(w, "an administrator asked for it");
}

void admin_recycle(struct client *c, struct slice line, const struct envelope *e)
{
    struct server *s = c->server;
    struct slice which = json_get(e->params, "worker");
    unsigned only = whole(which);
    (void)line;
    if (which.n && !slice_is(which, "null") && (only < 1 || only > s->n_workers)) {
        refuse(c, e, "worker must be the number of one of the pool's workers.");
        return;
    }
    log_info(&s->log, "client %u: workers are recycled", c->id);
    struct steer *t = steer_begin(c, e, "pool/recycle", look_recycled);
    for (size_t i = only ? only - 1 : 0; i < (only ? only : s->n_workers); i++)
        recycle(s->workers[i], t);
}

static void admit(struct client *c, enum admission admission, const char *how)
{
    struct server *s = c->server;
    if (s->admission != admission)
        log_info(&s->log, "client %u: the pool %s", c->id, how);
    s->admission = admission;
    s->admission_since = now_ms();
    s->offer = true;
    pool_settle_all(s);
}

void admin_pause(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    admit(c, ADMISSION_PAUSED, "is paused: the queue holds");
    answer(c, e, NULL);
}

void admin_resume(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    admit(c, ADMISSION_OPEN, "goes on");
    answer(c, e, NULL);
}

/* A stream goes on, if only because its turn may come any moment; what is merely held does not. */
static bool streams(const struct worker *w)
{
    uint64_t until;
    return w->state == WORKER_ABORTING ||
           (w->state == WORKER_BUSY && lease_judge(w, &until) != LEASE_QUIET);
}

static void look_drained(struct server *s, struct steer *t)
{
    if (s->admission != ADMISSION_DRAINING) {
        steer_fail(t, RPC_ABORTED, "The pool was told to go on, or to pause, meanwhile.");
        return;
    }
    bool unfinished = s->queue.length > 0;
    for (size_t i = 0; i < s->n_workers; i++)
        unfinished = unfinished || streams(s->workers[i]);
    if (!unfinished)
        steer_answer(t, NULL);
}

void admin_drain(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    admit(c, ADMISSION_DRAINING, "drains: it takes nothing new");
    (void)steer_begin(c, e, "pool/drain", look_drained);
}

static void look_interrupted(struct server *s, struct steer *t)
{
    const struct thread *thread = threads_find(&s->threads, slice_str(t->thread_id));
    if (thread && thread->running && thread->turn_since == t->number)
        return;
    cJSON *result = rpc_object();
    cJSON_AddTrueToObject(result, "interrupted");
    steer_answer(t, result);
}

void admin_interrupt(struct client *c, struct slice line, const struct envelope *e)
{
    struct server *s = c->server;
    struct slice id = json_get_text(e->params, "threadId");
    struct thread *thread = id.n ? threads_find(&s->threads, id) : NULL;
    (void)line;
    if (!thread) {
        refuse(c, e, "threadId must be the id of a thread that a worker has loaded.");
        return;
    }
    if (!thread->running) {
        cJSON *result = rpc_object();
        cJSON_AddFalseToObject(result, "interrupted");
        answer(c, e, result);
        return;
    }
    struct steer *t = steer_begin(c, e, "pool/interrupt", look_interrupted);
    if (!t)
        return;
    t->number = thread->turn_since;
    t->thread_id = strdup(thread->id);
    if (!t->thread_id)
        steer_fail(t, RPC_INTERNAL, "Out of memory for a request.");
    else
        limit_interrupt(thread, "an administrator asked for it");
}

struct client *admin_find_client(const struct server *s, struct slice id)
{
    unsigned wanted = whole(id);
    list_for_each (it, &s->clients) {
        struct client *c = list_entry(it, struct client, in_clients);
        if (wanted && c->id == wanted)
            return c;
    }
    return NULL;
}

static bool is_there(const struct server *s, unsigned client_id)
{
    list_for_each (it, &s->clients)
        if (list_entry(it, struct client, in_clients)->id == client_id)
            return true;
    return false;
}

static void look_kicked(struct server *s, struct steer *t)
{
    if (is_there(s, (unsigned)t->number))
        return;
    for (size_t i = 0; i < t->n_workers; i++) {
        const struct worker *w = worker_of(s, &t->workers[i]);
        if (w->state == WORKER_ABORTING && w->starts == t->workers[i].starts)
            return;
    }
    steer_answer(t, NULL);
}

void admin_kick(struct client *c, struct slice line, const struct envelope *e)
{
    struct server *s = c->server;
    struct client *whom = admin_find_client(s, json_get(e->params, "client"));
    (void)line;
    if (!whom || whom == c) {
        refuse(c, e,
               whom ? "client is this connection itself: close it."
                    : "client must be the number of a client that is connected.");
        return;
    }
    struct steer *t = steer_begin(c, e, "pool/kick", look_kicked);
    if (t)
        t->number = whom->id;
    list_for_each (it, &whom->leases) {
        const struct worker *w = list_entry(it, struct worker, lease.in_client);
        if (t)
            steer_add_worker(t, w->id, w->starts);
    }
    log_info(&s->log, "client %u: dropped, as client %u asked", whom->id, c->id);
    client_doom(whom, "dropped by an administrator");
}

void admin_reload(struct client *c, struct slice line, const struct envelope *e)
{
    _cleanup_free_ char *error = NULL;
    (void)line;
    if (reload_settings(c->server, &error))
        answer(c, e, NULL);
    else
        client_send_take(c, rpc_error(e->id, RPC_INTERNAL, error ? error : "Out of memory.", NULL));
}

void admin_log_level(struct client *c, struct slice line, const struct envelope *e)
{
    struct log *log = &c->server->log;
    _cleanup_free_ char *name = slice_dup(json_get_text(e->params, "level"));
    int level = name ? log_level_parse(name) : -1;
    (void)line;
    if (level < 0) {
        refuse(c, e, "level must be error, warn, info, debug or trace.");
        return;
    }
    cJSON *result = rpc_object();
    cJSON_AddStringToObject(result, "level", name);
    cJSON_AddStringToObject(result, "before", log_level_name(log->level));
    log_info(log, "client %u: the log's level is %s now", c->id, name);
    log_set(log, (enum log_level)level, log->format);
    answer(c, e, result);
}
