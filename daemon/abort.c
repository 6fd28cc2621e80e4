#include "daemon/abort.h"

#include "daemon/asks.h"
#include "daemon/evict.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/request.h"
#include "daemon/steer.h"
#include "proto/json.h"

#include <stdio.h>

/* What it has begun there that only the worker's end ends; NULL for nothing. */
static const char *left_behind(const struct worker *w, const struct client *c)
{
    static const char thing[] = "its client left things behind that only its end clears";
    if (w->lease.pinned)
        return thing;
    for (size_t i = 0; i < WORKER_SLOTS; i++) {
        const struct request *r = w->slots[i];
        if (!r || r->client != c)
            continue;
        if (r->method->class == METHOD_PINNED)
            return thing;
        if (r->method->class == METHOD_STREAM && (r->method->flags & METHOD_EXEC) && !r->key)
            return "its client left a command without processId running";
    }
    return NULL;
}

static void end_commands(struct worker *w, const struct client *c)
{
    for (size_t i = 0; i < WORKER_SLOTS; i++) {
        const struct request *r = w->slots[i];
        if (!r || r->client != c || r->method->class != METHOD_STREAM || !r->key ||
            !(r->method->flags & METHOD_EXEC))
            continue;
        /* The key is what stood between the quotes, escapes and all. */
        char *quoted = NULL;
        if (asprintf(&quoted, "\"%s\"", r->key) < 0)
            continue;
        cJSON *params = rpc_object();
        cJSON_AddRawToObject(params, "processId", quoted);
        free(quoted);
        worker_ask(w, "command/exec/terminate", params, NULL, NULL);
    }
}

static void drop_requests(struct client *c)
{
    list_for_each_safe (it, &c->requests) {
        struct request *r = list_entry(it, struct request, in_client);
        if (r->state == REQUEST_SENT)
            request_orphan(r);
    }
    /* One by one from the front: freeing one routes its followers, which may end in more. */
    struct request *r;
    while ((r = list_first(&c->requests, struct request, in_client))) {
        if (r->state == REQUEST_QUEUED)
            pool_abandon(r);
        else
            request_free(r);
    }
}

/* Its threads, sub-agents too, on whichever worker. */
static void close_threads(struct client *c)
{
    struct thread *t;
    while ((t = list_first(&c->threads, struct thread, in_client))) {
        ownership_subscribe(t, NULL);
        t->turn_open = false;
        evict_thread(t);
    }
}

void abort_client(struct client *c)
{
    struct server *s = c->server;
    struct worker *held[CONFIG_WORKERS_MAX];
    size_t n = 0;
    list_for_each (it, &c->leases)
        if (n < ARRAY_LEN(held))
            held[n++] = list_entry(it, struct worker, lease.in_client);
    asks_forget_client(c);
    steer_forget(c);
    for (size_t i = 0; i < n; i++) {
        const char *why = left_behind(held[i], c);
        if (why)
            worker_stop(held[i], true, why);
        else
            end_commands(held[i], c);
    }
    drop_requests(c);
    close_threads(c);
    for (size_t i = 0; i < n; i++) {
        struct worker *w = held[i];
        if (w->lease.holder != c)
            continue;
        s->counters.aborted++;
        pool_end_lease(w);
        w->verifying = false;
        worker_set_state(w, WORKER_ABORTING);
    }
    for (size_t i = 0; i < n; i++)
        abort_check(held[i]);
    log_client(c, LOG_DEBUG, "aborted what it had on %zu workers", n);
}

/* Codex's own code for requests that come in a burst. */
#define OVERLOADED "-32001"

struct loaded {
    struct worker *worker;
    bool foreign; /* somebody's who has left is still loaded */
};

static void check_loaded(struct slice element, void *arg)
{
    struct loaded *l = arg;
    struct worker *w = l->worker;
    struct slice id = json_text(element);
    struct thread *t = threads_find(&w->server->threads, id);
    if (!id.n || (t && (t->owner != w || t->subscriber)))
        return;
    if (t && !t->evicting && !w->unloads)
        return; /* this Codex keeps its threads */
    if (!t)
        t = ownership_begin(w, id);
    if (!t)
        return;
    l->foreign = true;
    evict_thread(t);
}

/* What the one who left had begun on a thread that somebody else has open goes on as that one's:
 * nobody may have the worker beside it. False: nothing runs there. */
static bool leave_to_subscriber(struct worker *w)
{
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        if (!thread_busy(t) || !t->subscriber || t->subscriber->doomed)
            continue;
        pool_lease_to(w, t->subscriber);
        pool_settle(w);
        return true;
    }
    return false;
}

static void on_verified(struct worker *w, const struct envelope *answer, void *arg)
{
    struct loaded l = {.worker = w};
    (void)arg;
    w->verifying = false;
    if (!answer || w->state != WORKER_ABORTING)
        return;
    if (slice_is(json_get(answer->error, "code"), OVERLOADED)) {
        abort_check(w);
        return;
    }
    /* A Codex that cannot say what it has loaded is taken at the word of its notifications. */
    if (answer->result.p)
        json_each(json_get(answer->result, "data"), check_loaded, &l);
    if (l.foreign || !evict_done(w) || w->lease.unanswered || w->incoming)
        return;
    if (!leave_to_subscriber(w))
        pool_free_worker(w);
}

void abort_check(struct worker *w)
{
    if (w->state != WORKER_ABORTING || w->lease.unanswered || w->incoming || !evict_done(w) ||
        w->verifying)
        return;
    w->verifying = true;
    worker_ask(w, "thread/loaded/list", NULL, on_verified, NULL);
}
