#include "daemon/pool.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/control.h"
#include "daemon/crew.h"
#include "daemon/lease.h"
#include "daemon/limit.h"
#include "daemon/router.h"

#include <assert.h>

static struct request *request_of(const struct waiter *w)
{
    return container_of((struct waiter *)(uintptr_t)w, struct request, waiter);
}

/* Shares of one user. Counted where a limit is set, which is rare, rather than kept. */
static bool may_lease(const struct client *c)
{
    const struct server *s = c->server;
    size_t limit = (size_t)s->config->max_leases_per_uid, n = 0;
    for (size_t i = 0; limit && i < s->n_workers; i++)
        n += s->workers[i]->lease.holder && s->workers[i]->lease.holder->uid == c->uid;
    return !limit || n < limit;
}

static bool may_wait(const struct client *c)
{
    const struct server *s = c->server;
    size_t limit = (size_t)s->config->max_waiters_per_uid, n = 0;
    if (!limit)
        return true;
    list_for_each (it, &s->clients) {
        const struct client *other = list_entry(it, struct client, in_clients);
        n += other->uid == c->uid ? other->n_waiting : 0;
    }
    return n < limit;
}

/* One that is gone and about to be cleaned up still waits, but for nothing. */
static bool waiter_may_lease(const struct waiter *w, void *arg)
{
    const struct client *c = request_of(w)->client;
    (void)arg;
    return !c->doomed && may_lease(c);
}

/* The oldest that may have this worker. Those whose thread has found another owner since they
 * began to wait go to that one's lane first. */
static struct request *next_for(struct worker *w)
{
    struct server *s = w->server;
    for (;;) {
        struct waiter *waiter = queue_oldest(&s->queue, &w->lane, waiter_may_lease, NULL);
        if (!waiter)
            return NULL;
        struct request *r = request_of(waiter);
        struct thread *t = r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
        if (!t || t->owner == w)
            return r;
        queue_move(waiter, &t->owner->lane);
    }
}

static void log_way_out(const struct request *r, const char *how)
{
    log_debug(&r->server->log, "queue: %s: client %u, queue length %zu, waited %llu ms", how,
              r->client->id, r->server->queue.length,
              (unsigned long long)(now_ms() - r->queued_at));
}

void pool_lease_to(struct worker *w, struct client *c)
{
    struct lease *l = &w->lease;
    assert(!l->holder && !l->unanswered);
    l->holder = c;
    l->acquired = l->pinned = false;
    l->opened_at = 0;
    list_append(&c->leases, &l->in_client);
    asks_forget_answered(w);
    w->streams++;
    w->streams_since_start++;
    w->server->counters.streams++;
    worker_set_state(w, WORKER_BUSY);
    worker_update_reading(w);
}

void pool_end_lease(struct worker *w)
{
    list_remove(&w->lease.in_client);
    w->lease.holder = NULL;
    ev_timer_stop(w->server->loop, &w->hold);
    limit_update(w);
    worker_update_reading(w);
}

void pool_lease_request(struct worker *w, struct request *r)
{
    if (!r->client || w->lease.holder != r->client || r->lease_worker)
        return;
    r->lease_worker = w;
    w->lease.unanswered++;
}

void pool_unlease_request(struct request *r)
{
    if (!r->lease_worker)
        return;
    r->lease_worker->lease.unanswered--;
    r->lease_worker = NULL;
}

/* The request has its worker; it goes its way. */
static void grant(struct worker *w, struct request *r)
{
    struct server *s = w->server;
    uint64_t waited_ms = r->waiter.seq ? now_ms() - r->queued_at : 0;
    s->waits_ms[s->counters.waits++ % WAITS_KEPT] =
        waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX;
    control_tell_assigned(r, w, waited_ms);
    if (r->acquire) {
        w->lease.acquired = true;
        control_answer_acquired(r, w, waited_ms);
        pool_settle(w);
    } else {
        router_admit(r, w);
        /* It may have been refused instead. */
        pool_settle(w);
    }
}

static void grant_from_queue(struct worker *w, struct request *r)
{
    log_way_out(r, "served");
    request_unpark(r);
    if (!w->lease.holder)
        pool_lease_to(w, r->client);
    grant(w, r);
}

void pool_free_worker(struct worker *w)
{
    if (w->exited || crew_replace_if_worn(w))
        return;
    struct request *r = next_for(w);
    if (r && !crew_is_silent(w)) {
        grant_from_queue(w, r);
        return;
    }
    if (w->state != WORKER_IDLE)
        worker_set_state(w, WORKER_IDLE);
    if (r)
        crew_probe(w);
    server_check_drained(w->server);
}

/* The holder's own requests that waited because something ran there. */
static struct request *holders_next(const struct worker *w)
{
    struct server *s = w->server;
    list_for_each (it, &w->lease.holder->requests) {
        struct request *r = list_entry(it, struct request, in_client);
        if (r->state != REQUEST_QUEUED || r->acquire)
            continue;
        struct thread *t = r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
        if (t ? t->owner == w : w->lease.acquired || w->lease.pinned)
            return r;
    }
    return NULL;
}

bool pool_somebody_waits(const struct worker *w)
{
    /* So does a shutdown. */
    return w->server->phase == SERVER_DRAINING || !lane_empty(&w->lane) ||
           !lane_empty(&w->server->queue.any);
}

/* What was promised and has not come is waited for no longer. */
static void forget_promises(struct worker *w)
{
    list_for_each (it, &w->threads)
        list_entry(it, struct thread, in_owner)->promised = 0;
}

static void release(struct worker *w)
{
    forget_promises(w);
    pool_end_lease(w);
    pool_free_worker(w);
}

void pool_settle(struct worker *w)
{
    uint64_t until = 0, now = now_ms();
    const struct client *holder = w->lease.holder;
    struct request *r;
    /* What one that is gone has there is about to be aborted. */
    if (w->state != WORKER_BUSY || (holder && holder->doomed))
        return;
    limit_update(w);
    switch (lease_judge(w, &until)) {
    case LEASE_RUNS:
        break;
    case LEASE_WAITS:
        if (!pool_somebody_waits(w))
            break;
        if (until > now) {
            ev_timer_stop(w->server->loop, &w->hold);
            ev_timer_set(&w->hold, (double)(until - now) / 1e3, 0.);
            ev_timer_start(w->server->loop, &w->hold);
        } else if (w->lease.acquired || w->lease.pinned) {
            forget_promises(w);
            pool_settle(w);
        } else {
            release(w);
        }
        break;
    case LEASE_QUIET:
        if ((r = holders_next(w)))
            grant_from_queue(w, r);
        else
            server_check_drained(w->server);
        break;
    case LEASE_ENDS:
        release(w);
        break;
    }
}

void pool_settle_all(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        pool_settle(s->workers[i]);
}

/* Of the idle workers the one with the fewest subscribed threads, so that threads spread. */
static struct worker *best_idle(struct server *s)
{
    struct worker *best = NULL;
    size_t fewest = SIZE_MAX;
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        size_t n = 0;
        if (w->state != WORKER_IDLE || w->exited || crew_is_silent(w))
            continue;
        list_for_each (it, &w->threads)
            n += list_entry(it, struct thread, in_owner)->subscriber != NULL;
        if (n < fewest) {
            fewest = n;
            best = w;
        }
    }
    return best;
}

/* One that the client holds by pool/acquire or (pinned) because it has left something there, and on
 * which nothing runs. */
static struct worker *held_quiet(const struct client *c, bool pinned)
{
    uint64_t until;
    list_for_each (it, &c->leases) {
        struct worker *w = list_entry(it, struct worker, lease.in_client);
        if ((pinned ? w->lease.pinned : w->lease.acquired) && lease_judge(w, &until) == LEASE_QUIET)
            return w;
    }
    return NULL;
}

static void enqueue(struct request *r, struct worker *want)
{
    struct server *s = r->server;
    struct client *c = r->client;
    const struct config *config = s->config;
    if (crew_hopeless(s)) {
        request_fail(r, RPC_WORKER_START, "%s", s->start_failure ? s->start_failure : "");
        return;
    }
    if (s->queue.length >= (size_t)config->max_queue || !may_wait(c)) {
        s->counters.rejected++;
        log_debug(&s->log, "queue: full: client %u, queue length %zu", c->id, s->queue.length);
        request_fail(r, RPC_QUEUE_FULL, "Server overloaded; retry later.");
        return;
    }
    if (!request_keep(r))
        return;
    r->state = REQUEST_QUEUED;
    r->queued_at = now_ms();
    queue_add(&s->queue, want ? &want->lane : &s->queue.any, &r->waiter);
    c->n_waiting++;
    s->counters.queued++;
    log_debug(&s->log, "queue: waits: client %u for %s, queue length %zu", c->id,
              want ? "its thread's owner" : "any worker", s->queue.length);
    if (!r->timeout_ms)
        r->timeout_ms = (uint64_t)config->acquire_timeout_ms;
    if (r->timeout_ms) {
        ev_timer_set(&r->timeout, (double)r->timeout_ms / 1e3, 0.);
        ev_timer_start(s->loop, &r->timeout);
    }
    control_tell_queued(r);
    crew_start_workers(s);
    crew_probe_silent(s);
    pool_settle_all(s);
}

void pool_request(struct request *r, struct worker *want)
{
    struct server *s = r->server;
    struct worker *w = want;
    if (s->phase != SERVER_RUNNING) {
        request_fail(r, RPC_SHUTDOWN, "Worker pool has been shut down.");
        return;
    }
    if (!want && !r->acquire && (w = held_quiet(r->client, false))) {
        grant(w, r);
        return;
    }
    if (!want)
        w = best_idle(s);
    if (w && w->state == WORKER_IDLE && !w->exited && !crew_is_silent(w) && may_lease(r->client)) {
        pool_lease_to(w, r->client);
        grant(w, r);
    } else if (!want && !r->acquire && (w = held_quiet(r->client, true))) {
        /* Nobody else can have that one: better than to wait beside it. */
        grant(w, r);
    } else {
        enqueue(r, want);
    }
}

void pool_dequeue(struct request *r)
{
    queue_remove(&r->server->queue, &r->waiter);
    r->client->n_waiting--;
    control_positions_changed(r->server);
}

void pool_timed_out(struct request *r)
{
    r->server->counters.timed_out++;
    log_way_out(r, "timed out");
    request_fail(r, RPC_ACQUIRE_TIMEOUT, "Worker acquisition timed out after %llu ms.",
                 (unsigned long long)r->timeout_ms);
}

void pool_cancel(struct request *r)
{
    r->server->counters.cancelled++;
    log_way_out(r, "cancelled");
    request_fail(r, RPC_ABORTED, "Worker acquisition aborted while waiting.");
}

void pool_abandon(struct request *r)
{
    r->server->counters.aborted++;
    log_way_out(r, "client gone");
    request_free(r);
}

void pool_reject_all(struct server *s, int code, const char *message)
{
    struct waiter *w;
    while ((w = queue_first(&s->queue))) {
        struct request *r = request_of(w);
        log_way_out(r, code == RPC_SHUTDOWN ? "shut down" : "no worker can be started");
        request_fail(r, code, "%s", message);
    }
}

void pool_thread_unowned(struct worker *w, const char *id)
{
    struct server *s = w->server;
    bool moved = false;
    list_for_each_safe (it, &w->lane.waiters) {
        struct waiter *waiter = list_entry(it, struct waiter, in_lane);
        if (request_names(request_of(waiter), id)) {
            queue_move(waiter, &s->queue.any);
            moved = true;
        }
    }
    for (size_t i = 0; moved && i < s->n_workers; i++)
        if (s->workers[i]->state == WORKER_IDLE)
            pool_free_worker(s->workers[i]);
    if (moved)
        crew_start_workers(s);
}
