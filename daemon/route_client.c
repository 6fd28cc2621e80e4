#include "daemon/router.h"

#include "daemon/asks.h"
#include "daemon/control.h"
#include "daemon/crew.h"
#include "daemon/evict.h"
#include "daemon/follow.h"
#include "daemon/lease.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/settings.h"
#include "daemon/trace.h"
#include "proto/json.h"

#include <assert.h>
#include <stdio.h>

static struct thread *thread_of(const struct request *r)
{
    return r->thread_id ? threads_find(&r->server->threads, slice_str(r->thread_id)) : NULL;
}

/* The client's earlier thread/resume of the same thread that is not answered yet. One that is sent
 * counts, too: it may have to be sent again. */
static struct request *resume_before(const struct request *r)
{
    list_for_each (it, &r->client->requests) {
        struct request *other = list_entry(it, struct request, in_client);
        if (other == r)
            return NULL;
        if ((other->method->flags & METHOD_RESUME) && request_names(other, r->thread_id))
            return other;
    }
    return NULL;
}

/* What steers a turn that still runs passes although its thread is being unsubscribed. */
static bool passes_closing(const struct request *r, const struct thread *t)
{
    return (r->method->flags & METHOD_SUBSCRIBER) && t->subscriber == r->client && !t->evicting &&
           !(r->method->flags & METHOD_UNSUBSCRIBE);
}

/* For requests that need no worker to themselves. */
static void send_shared(struct request *r, struct worker *w)
{
    struct server *s = r->server;
    if (!w)
        w = crew_any_ready(s, r->client);
    if (w) {
        if ((r->method->flags & METHOD_LOCKS) && !request_keep(r))
            return;
        worker_send(w, r);
    } else if (s->phase != SERVER_RUNNING) {
        request_fail(r, RPC_SHUTDOWN, "Worker pool has been shut down.");
    } else if (crew_hopeless(s)) {
        request_fail(r, RPC_WORKER_START, "%s", s->start_failure ? s->start_failure : "");
    } else if (request_park(r, REQUEST_BLOCKED, &s->unready)) {
        crew_start_workers(s);
    }
}

/* What needs the client's own hold of this worker. */
static void send_stream(struct request *r, struct worker *w)
{
    struct thread *t = thread_of(r);
    if ((r->method->flags & METHOD_LOCKS) && !request_keep(r))
        return;
    if ((r->method->flags & METHOD_RESUME) && r->thread_id) {
        if (!t) {
            t = ownership_begin(w, slice_str(r->thread_id));
            if (t)
                t->provisional = true;
        }
        if (t)
            t->opening = r;
    }
    if (t && t->owner == w)
        t->stream = w->streams;
    if (r->method->flags & METHOD_OPENS) {
        settings_free(r->settings);
        r->settings = settings_new(json_get(r->line, "params"));
    }
    pool_lease_request(w, r);
    worker_send(w, r);
}

/* A parameter that would change the thread, were it not loaded already. */
static bool brings_settings(struct slice line)
{
    static const char *const neutral[] = {"threadId", "excludeTurns", "initialTurnsPage",
                                          "persistExtendedHistory"};
    struct slice params = json_get(line, "params"), key;
    struct json_cursor c = {.p = params.p, .end = params.p + params.n};
    bool first = true;
    if (!params.n || !json_enter_object(&c))
        return false;
    while (json_member(&c, &first, &key)) {
        struct slice value = json_skip(&c, 0);
        bool setting = !slice_is(value, "null");
        for (size_t i = 0; i < ARRAY_LEN(neutral); i++)
            setting = setting && !slice_is(key, neutral[i]);
        if (setting)
            return true;
    }
    return false;
}

static void refuse_cold(struct request *r, const char *why)
{
    request_fail(r, RPC_INVALID_REQUEST,
                 "Thread %s is open for another client and cannot be unloaded (%s), so the "
                 "settings of this thread/resume would be ignored; resume it without settings.",
                 r->thread_id, why);
}

/* Codex ignores the settings of a resume where the thread is loaded (measured on 0.169), so it is
 * unloaded first; only its subscriber's own resume is a rejoin. */
static void prepare_cold(struct request *r, struct worker *w, struct thread *t)
{
    bool can_unload = t->persisted && !t->ephemeral;
    if (!can_unload) {
        if (brings_settings(r->line))
            refuse_cold(r, t->ephemeral ? "it is ephemeral" : "it has no turn yet");
        else
            send_stream(r, w);
        return;
    }
    pool_lease_request(w, r);
    if (!request_park(r, REQUEST_PREPARING, &w->preparing))
        return;
    r->worker = w;
    evict_family(t);
}

void router_admit(struct request *r, struct worker *w)
{
    struct thread *t = thread_of(r);
    bool own = t && (t->subscriber == r->client || (t->opening && t->opening->client == r->client));
    if ((r->method->flags & METHOD_RESUME) && t && t->owner == w && !own)
        prepare_cold(r, w, t);
    else
        send_stream(r, w);
}

/* Nobody would miss this worker's process but for `t`: no other thread is open there, nobody has
 * asked it for anything, and its holder holds it for a request alone. */
static bool is_for_alone(const struct worker *w, const struct thread *t)
{
    if (w->lease.acquired || w->lease.pinned)
        return false;
    list_for_each (it, &w->threads) {
        const struct thread *other = list_entry(it, struct thread, in_owner);
        if (other->subscriber && !thread_descends(other, t))
            return false;
    }
    for (size_t i = 0; i < WORKER_SLOTS; i++)
        if (w->slots[i] && w->slots[i]->client)
            return false;
    return true;
}

/* Its Codex does not unload the thread. Its end does; then the request starts over. */
static void unload_by_end(struct request *r, struct worker *w, const struct thread *t)
{
    if (!is_for_alone(w, t))
        refuse_cold(r, "this Codex does not unload threads");
    else if (request_park(r, REQUEST_PREPARING, &w->preparing))
        worker_stop(w, true, "its Codex does not unload a thread that is to be opened anew");
}

void router_prepared(struct request *r, struct worker *w)
{
    struct thread *t = thread_of(r);
    if (w->state != WORKER_BUSY) {
        pool_unlease_request(r);
        router_route(r);
        return;
    }
    if (t && brings_settings(r->line))
        unload_by_end(r, w, t);
    else
        send_stream(r, w);
    pool_settle(w);
}

/* The stream of this worker is the thread's, or a relative's. */
static bool in_stream(const struct worker *w, const struct thread *t)
{
    list_for_each (it, &w->threads) {
        const struct thread *other = list_entry(it, struct thread, in_owner);
        if (other->stream == w->streams && thread_family(other) == thread_family(t))
            return true;
    }
    return false;
}

/* Its client holds the owner, and nothing there is in the way. */
static bool may_use_now(const struct request *r, const struct worker *w, const struct thread *t)
{
    if (w->lease.holder != r->client || w->state != WORKER_BUSY || lease_conflicts(w, t) ||
        lease_prolongs(r, w, t))
        return false;
    bool other_thread = !in_stream(w, t) && !w->lease.acquired;
    return !(r->method->flags & METHOD_RESUME) || !other_thread;
}

static void route_stream(struct request *r, struct thread *t)
{
    if (t && may_use_now(r, t->owner, t))
        router_admit(r, t->owner);
    else
        pool_request(r, t ? t->owner : NULL);
}

/* Once a client has a worker for good, what else it leaves behind is left there, too. */
static void route_pinned(struct request *r, struct thread *t)
{
    struct worker *w = follow_pinned(r->client);
    if (!t && w)
        send_stream(r, w);
    else
        route_stream(r, t);
}

/* Codex's own words for a thread that the asking process does not have. */
static void refuse_stranger(struct request *r)
{
    if (r->method->flags & METHOD_UNSUBSCRIBE)
        request_answer(r, rpc_result_raw(slice_str(r->id), SLICE("{\"status\":\"notLoaded\"}")));
    else
        request_refuse(r, RPC_INVALID_REQUEST, "thread not found: %s", r->thread_id);
}

/* Requests for the thread wait from now on. */
static void send_unsubscribe(struct request *r, struct thread *t)
{
    if (!request_keep(r))
        return;
    evict_await(t);
    send_shared(r, t->owner);
}

static void route_owner(struct request *r, struct thread *t)
{
    unsigned flags = r->method->flags;
    if ((flags & METHOD_SUBSCRIBER) && r->thread_id && (!t || t->subscriber != r->client))
        refuse_stranger(r);
    else if ((flags & METHOD_ENDS) && t && t->subscriber != r->client && thread_busy(t))
        request_refuse(r, RPC_INVALID_REQUEST, "thread %s already has an active writer",
                       r->thread_id);
    else if (t && (flags & METHOD_UNSUBSCRIBE))
        send_unsubscribe(r, t);
    else
        send_shared(r, t ? t->owner : NULL);
}

/* Global requests of one client stay together: what one begins, another may cancel. */
static void route_global(struct request *r)
{
    struct server *s = r->server;
    unsigned id = r->client->admin_worker;
    struct worker *w = id && id <= s->n_workers ? s->workers[id - 1] : NULL;
    send_shared(r, w && worker_ready(w) ? w : NULL);
}

void router_route(struct request *r)
{
    struct thread *t = thread_of(r);
    struct request *before;
    assert(r->state == REQUEST_NEW);
    if (r->client->doomed)
        return; /* freed with its client */
    if (r->thread_id && (before = resume_before(r))) {
        request_park(r, REQUEST_BLOCKED, &before->followers);
        return;
    }
    if (t && (t->move || ((t->evicting || t->unsubscribed) && !passes_closing(r, t)))) {
        request_park(r, REQUEST_BLOCKED, &t->blocked);
        return;
    }
    switch (r->method->class) {
    case METHOD_SHARED:
        send_shared(r, t ? t->owner : NULL);
        break;
    case METHOD_STREAM:
        route_stream(r, t);
        break;
    case METHOD_OWNER:
        route_owner(r, t);
        break;
    case METHOD_PINNED:
        route_pinned(r, t);
        break;
    case METHOD_FOLLOW:
        follow_route(r);
        break;
    case METHOD_GLOBAL:
        route_global(r);
        break;
    case METHOD_INITIALIZE:
    case METHOD_LOADED:
        control_answer(r);
        break;
    }
}

void router_route_all(struct list *parked)
{
    struct request *r;
    while ((r = list_first(parked, struct request, node))) {
        request_unpark(r);
        router_route(r);
    }
}

void router_retry(struct request *r)
{
    request_unpark(r);
    router_route(r);
}

/* A method that this client may not use; then it has been told so. */
static bool refuse_forbidden(struct client *c, const struct envelope *e)
{
    const struct method *m = method_find(e->method);
    char message[256];
    if (config_denies(c->server->config, e->method))
        (void)snprintf(message, sizeof(message), "%.*s is refused here: it is in denyMethods.",
                       (int)(e->method.n < 128 ? e->method.n : 128), e->method.p);
    else if (m->class == METHOD_GLOBAL && !c->admin)
        (void)snprintf(message, sizeof(message),
                       "%s changes what all clients share: only users in adminUids may.", m->name);
    else
        return false;
    client_send_take(c, rpc_error(e->id, RPC_FORBIDDEN, message, NULL));
    return true;
}

static void request_from_client(struct client *c, struct slice line, const struct envelope *e)
{
    if (slice_starts(e->method, "pool/")) {
        control_request(c, line, e);
        return;
    }
    if (!c->initialized && !slice_is(e->method, "initialize")) {
        client_send_take(c, rpc_refusal(e->id, RPC_INVALID_REQUEST, "Not initialized"));
        return;
    }
    if (refuse_forbidden(c, e))
        return;
    if (slice_is(e->method, "initialize") && !control_initialize(c, e))
        return;
    struct request *r = request_new(c, line, e);
    if (r)
        router_route(r);
    else
        client_send_take(c, rpc_error(e->id, RPC_INTERNAL, "Out of memory for a request.", NULL));
}

void router_client_line(struct client *c, struct slice line)
{
    struct envelope e;
    const char *why;
    int r = envelope_scan(line, &e, &why);
    log_event(&c->server->log, LOG_TRACE, &(struct log_fields){.client = c->id}, "client %u > %.*s",
              c->id, (int)(line.n < 200 ? line.n : 200), line.p);
    trace_message(c->server, TRACE_FROM_CLIENT, c, NULL, line, 0, SLICE_NULL);
    if (r != ENVELOPE_OK) {
        char message[160];
        c->server->counters.invalid_messages++;
        (void)snprintf(message, sizeof(message), "%s: %s",
                       r == ENVELOPE_NOT_JSON ? "Parse error" : "Invalid request", why);
        client_send_take(c,
                         rpc_error(e.id, r == ENVELOPE_NOT_JSON ? RPC_PARSE : RPC_INVALID_REQUEST,
                                   message, NULL));
        return;
    }
    switch (e.kind) {
    case ENVELOPE_REQUEST:
        request_from_client(c, line, &e);
        break;
    case ENVELOPE_RESPONSE:
        asks_answer(c, &e, line);
        break;
    case ENVELOPE_NOTIFICATION:
        /* The protocol has one of a client's, `initialized`, and workers have had it. */
        break;
    }
}
