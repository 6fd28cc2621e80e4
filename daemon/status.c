#include "daemon/status.h"

#include "daemon/asks.h"
#include "daemon/children.h"
#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/lacks.h"
#include "daemon/mobile.h"
#include "daemon/park.h"
#include "daemon/problems.h"
#include "daemon/renew.h"
#include "daemon/request.h"
#include "daemon/steer.h"
#include "daemon/why.h"
#include "daemon/worker.h"
#include "proto/json.h"

#include <stdio.h>

static void number(cJSON *to, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(to, name, (double)value);
}

static void text(cJSON *to, const char *name, const char *value)
{
    if (value)
        cJSON_AddStringToObject(to, name, value);
    else
        cJSON_AddNullToObject(to, name);
}

static cJSON *codex(const struct server *s)
{
    cJSON *o = cJSON_CreateObject();
    const struct worker *latest = NULL;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->version && (!latest || s->workers[i]->ready_at > latest->ready_at))
            latest = s->workers[i];
    _cleanup_free_ char *path = spawn_resolve(s->config);
    text(o, "command", s->config->codex_command);
    text(o, "path", path);
    text(o, "version", latest ? latest->version : NULL);
    cJSON *limits = lacks_list(s);
    if (limits && !cJSON_AddItemToObject(o, "limits", limits))
        cJSON_Delete(limits);
    return o;
}

static cJSON *pool(const struct server *s)
{
    size_t n[WORKER_STOPPING + 1] = {0};
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < s->n_workers; i++)
        n[s->workers[i]->state] += crew_has(s->workers[i]) || s->workers[i]->state != WORKER_DOWN;
    number(o, "size", (uint64_t)s->config->pool_size);
    number(o, "ready", n[WORKER_IDLE] + n[WORKER_BUSY] + n[WORKER_ABORTING]);
    number(o, "busy", n[WORKER_BUSY] + n[WORKER_ABORTING]);
    number(o, "parked", s->n_parked);
    number(o, "starting", n[WORKER_STARTING]);
    number(o, "down", n[WORKER_DOWN] + n[WORKER_STOPPING]);
    return o;
}

static cJSON *queue(const struct server *s)
{
    cJSON *o = cJSON_CreateObject();
    const struct waiter *first = queue_first(&s->queue);
    const struct request *oldest =
        first ? container_of((struct waiter *)(uintptr_t)first, struct request, waiter) : NULL;
    number(o, "length", s->queue.length);
    number(o, "max", (uint64_t)s->config->max_queue);
    number(o, "oldestWaitMs", oldest ? now_ms() - oldest->queued_at : 0);
    return o;
}

/* The turn that has run longest. */
static cJSON *turn(const struct worker *w)
{
    const struct thread *running = NULL;
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        if (t->running && (!running || t->turn_since < running->turn_since))
            running = t;
    }
    if (!running)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    text(o, "threadId", running->id);
    text(o, "turnId", running->turn_id);
    number(o, "runningMs", now_ms() - running->turn_since);
    number(o, "lastEventMs", now_ms() - running->last_event);
    return o;
}

static size_t count(const struct list *list)
{
    size_t n = 0;
    list_for_each (it, list)
        n++;
    return n;
}

/* More of them help nobody, and make every status long. */
#define THREADS_SHOWN 100

/* Why it is to be replaced, and which open threads are still in the way, with what holds each. */
static cJSON *replace(const struct worker *w)
{
    const char *why = renew_why(w);
    size_t n = 0;
    if (!why)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    text(o, "reason", why);
    cJSON *threads = cJSON_AddArrayToObject(o, "threads");
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        if (!t->subscriber || ++n > THREADS_SHOWN)
            continue;
        cJSON *each = cJSON_CreateObject();
        text(each, "threadId", t->id);
        number(each, "client", t->subscriber->id);
        text(each, "stays", renew_keeps(t));
        cJSON_AddItemToArray(threads, each);
    }
    return o;
}

static cJSON *lease(const struct worker *w)
{
    if (!w->lease.holder)
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    text(o, "for", why_leased(w));
    number(o, "heldMs", now_ms() - w->lease.since);
    return o;
}

static cJSON *last_event(const struct worker *w)
{
    char method[EVENT_MAX];
    if (!w->event[0])
        return cJSON_CreateNull();
    cJSON *o = cJSON_CreateObject();
    (void)snprintf(method, sizeof(method), "%s", w->event);
    json_clean_text(method);
    text(o, "method", method);
    number(o, "agoMs", now_ms() - w->event_at);
    return o;
}

static cJSON *worker(const struct worker *w)
{
    cJSON *o = cJSON_CreateObject();
    struct tree tree = children_tree(w->pid);
    number(o, "id", w->id);
    if (w->pid)
        number(o, "pid", (uint64_t)w->pid);
    else
        cJSON_AddNullToObject(o, "pid");
    text(o, "state", worker_state_name(w->state));
    if (w->lease.holder)
        number(o, "client", w->lease.holder->id);
    else
        cJSON_AddNullToObject(o, "client");
    rpc_add(o, "turn", turn(w));
    rpc_add(o, "lease", lease(w));
    rpc_add(o, "lastEvent", last_event(w));
    number(o, "unansweredAsks", asks_open(w));
    cJSON_AddBoolToObject(o, "parked", w->parked);
    number(o, "threads", count(&w->threads));
    number(o, "streams", w->streams);
    number(o, "restarts", w->restarts);
    text(o, "version", w->version);
    number(o, "rssBytes", tree.rss_bytes);
    number(o, "processes", tree.processes);
    number(o, "ageMs", w->pid ? now_ms() - w->started_at : 0);
    number(o, "waiting", count(&w->lane.waiters));
    cJSON_AddItemToObject(o, "replace", replace(w));
    if (worker_last_error(w))
        text(o, "lastError", worker_last_error(w));
    return o;
}

static cJSON *client(const struct client *c)
{
    cJSON *o = cJSON_CreateObject();
    number(o, "id", c->id);
    number(o, "uid", c->uid);
    number(o, "pid", (uint64_t)c->pid);
    text(o, "name", c->name);
    text(o, "transport", c->park ? "parked" : client_transport_name(c->transport));
    number(o, "waiting", c->n_waiting);
    cJSON *workers = cJSON_AddArrayToObject(o, "workers");
    list_for_each (it, &c->leases)
        rpc_add(workers, NULL,
                cJSON_CreateNumber(list_entry(it, struct worker, lease.in_client)->id));
    number(o, "threads", count(&c->threads));
    number(o, "connectedMs", now_ms() - c->connected_at);
    return o;
}

static cJSON *counters(const struct counters *c)
{
    cJSON *o = cJSON_CreateObject();
    number(o, "clients", c->clients);
    number(o, "streams", c->streams);
    number(o, "turns", c->turns);
    number(o, "moves", c->moves);
    number(o, "movesFailed", c->moves_failed);
    number(o, "queued", c->queued);
    number(o, "aborted", c->aborted);
    number(o, "cancelled", c->cancelled);
    number(o, "parked", c->parked);
    number(o, "attached", c->attached);
    number(o, "parkedExpired", c->parked_expired);
    number(o, "parkedOverflowed", c->parked_overflowed);
    number(o, "timedOut", c->timed_out);
    number(o, "rejected", c->rejected);
    number(o, "workerStarts", c->worker_starts);
    number(o, "workerExits", c->worker_exits);
    number(o, "workersReplaced", c->worker_replaced);
    number(o, "droppedMessages", c->dropped_messages);
    number(o, "invalidMessages", c->invalid_messages);
    return o;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Percentiles of the last TIMES_KEPT. */
static cJSON *times(const uint32_t *ms, unsigned long total)
{
    uint32_t sorted[TIMES_KEPT];
    size_t n = total < TIMES_KEPT ? total : TIMES_KEPT;
    cJSON *o = cJSON_CreateObject();
    memcpy(sorted, ms, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    number(o, "count", total);
    number(o, "p50", n ? sorted[(n - 1) * 50 / 100] : 0);
    number(o, "p95", n ? sorted[(n - 1) * 95 / 100] : 0);
    number(o, "p99", n ? sorted[(n - 1) * 99 / 100] : 0);
    number(o, "max", n ? sorted[n - 1] : 0);
    return o;
}

/* As of threads. Nor do ids of any length. */
#define WAITERS_SHOWN 1000
#define ID_SHOWN 80

static void thread_id(cJSON *to, const char *id)
{
    char shown[ID_SHOWN + 1];
    (void)snprintf(shown, sizeof(shown), "%s", id ? id : "");
    json_clean_text(shown);
    text(to, "threadId", id ? shown : NULL);
}

static cJSON *waiter(struct server *s, const struct request *r, size_t position)
{
    char why[160];
    cJSON *o = cJSON_CreateObject();
    struct thread *t = r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
    number(o, "position", position);
    number(o, "client", r->client->id);
    if (strlen(r->id) <= ID_SHOWN)
        rpc_add(o, "id", cJSON_CreateRaw(r->id));
    else
        cJSON_AddNullToObject(o, "id");
    text(o, "method", r->acquire ? "pool/acquire" : r->method->name);
    thread_id(o, r->thread_id);
    number(o, "waitedMs", now_ms() - r->queued_at);
    if (t)
        number(o, "worker", t->owner->id);
    else
        cJSON_AddNullToObject(o, "worker");
    text(o, "stays", t ? mobile_why_not(r, t) : NULL);
    text(o, "why", why_waits(r, why, sizeof(why)));
    return o;
}

static cJSON *waiters(struct server *s)
{
    cJSON *list = cJSON_CreateArray();
    size_t position = 0;
    list_for_each (it, &s->queue.all) {
        struct waiter *w = list_entry(it, struct waiter, in_all);
        if (++position > WAITERS_SHOWN)
            break;
        rpc_add(list, NULL, waiter(s, container_of(w, struct request, waiter), position));
    }
    return list;
}

static const char *const admissions[] = {
    [ADMISSION_OPEN] = "open", [ADMISSION_PAUSED] = "paused", [ADMISSION_DRAINING] = "draining"};

cJSON *status_build(struct server *s)
{
    cJSON *o = rpc_object();
    text(o, "version", CP_VERSION);
    number(o, "pid", (uint64_t)getpid());
    number(o, "uptimeMs", now_ms() - s->started_at);
    cJSON_AddBoolToObject(o, "accepting",
                          s->phase == SERVER_RUNNING && s->admission != ADMISSION_DRAINING);
    text(o, "admission", s->phase == SERVER_RUNNING ? admissions[s->admission] : "stopping");
    rpc_add(o, "steering", steer_status(s));
    rpc_add(o, "problems", problems_build(s));
    rpc_add(o, "codex", codex(s));
    rpc_add(o, "pool", pool(s));
    rpc_add(o, "queue", queue(s));
    rpc_add(o, "waiters", waiters(s));
    cJSON *workers = cJSON_AddArrayToObject(o, "workers");
    for (size_t i = 0; i < s->n_workers; i++)
        if (crew_has(s->workers[i]) || s->workers[i]->state != WORKER_DOWN)
            rpc_add(workers, NULL, worker(s->workers[i]));
    cJSON *clients = cJSON_AddArrayToObject(o, "clients");
    list_for_each (it, &s->clients)
        rpc_add(clients, NULL, client(list_entry(it, struct client, in_clients)));
    rpc_add(o, "parked", park_status(s));
    rpc_add(o, "counters", counters(&s->counters));
    rpc_add(o, "waitMs", times(s->waits_ms, s->counters.waits));
    rpc_add(o, "moveMs", times(s->moves_ms, s->counters.moves));
    return o;
}
