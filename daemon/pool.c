#include "daemon/pool.h"

#include "daemon/abort.h"
#include "daemon/admission.h"
#include "daemon/asks.h"
#include "daemon/choose.h"
#include "daemon/client.h"
#include "daemon/control.h"
#include "daemon/crew.h"
#include "daemon/evict.h"
#include "daemon/lease.h"
#include "daemon/limit.h"
#include "daemon/mobile.h"
#include "daemon/move.h"
#include "daemon/renew.h"
#include "daemon/router.h"
#include "daemon/way_out.h"

#include <assert.h>

static struct request *request_of(const struct waiter *w)
{
    return container_of((struct waiter *)(uintptr_t)w, struct request, waiter);
}

static struct thread *thread_of(const struct request *r)
{
    return r->thread_id ? threads_find(&r->server->threads, slice_str(r->thread_id)) : NULL;
}

/* One that is gone and about to be cleaned up still waits, but for nothing; and one whose thread is
 * on its way waits for that. */
static bool waiter_may_lease(const struct waiter *w, void *arg)
{
    const struct request *r = request_of(w);
    const struct thread *t = thread_of(r);
    (void)arg;
    return !r->client->doomed && !(t && t->move) && !admission_held_back(r->server) &&
           admission_in_share(r->client);
}

/* The same for a worker (arg) that poolSize has no room for: nothing but what is for its threads.
 */
static bool waiter_may_stay(const struct waiter *w, void *arg)
{
    const struct worker *worker = arg;
    const struct thread *t = thread_of(request_of(w));
    return (w->lane == &worker->lane || (t && t->owner == worker)) && waiter_may_lease(w, NULL);
}

/* It may have this worker (arg). */
static bool waiter_may_have(const struct waiter *w, void *arg)
{
    return crew_has(arg) ? waiter_may_lease(w, NULL) : waiter_may_stay(w, arg);
}

/* The oldest that may have this worker, by its lane. */
static struct waiter *oldest_for(struct worker *w)
{
    return queue_oldest(&w->server->queue, &w->lane, waiter_may_have, w);
}

/* The same as a request. Those whose thread has found another owner since they
 * began to wait go to that one's lane first. */
static struct request *next_for(struct worker *w)
{
    struct server *s = w->server;
    for (;;) {
        struct waiter *waiter = oldest_for(w);
        if (!waiter)
            return NULL;
        struct request *r = request_of(waiter);
        struct thread *t = thread_of(r);
        if (!t || t->owner == w)
            return r;
        queue_move(waiter, &t->owner->lane);
        s->offer = true;
    }
}

void pool_lease_to(struct worker *w, struct client *c)
{
    struct lease *l = &w->lease;
    assert(!l->holder && !l->unanswered);
    l->holder = c;
    l->acquired = l->pinned = false;
    l->opened_at = 0;
    l->since = now_ms();
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
    struct server *s = w->server;
    /* Its user may have another worker now, which may be idle. */
    s->offer = s->offer || s->config->max_leases_per_uid;
    list_remove(&w->lease.in_client);
    w->lease.holder = NULL;
    w->released_us = now_us();
    ev_timer_stop(s->loop, &w->hold);
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
    r->server->offer = true;
}

/* The request has its worker; it goes its way. */
static void grant(struct worker *w, struct request *r)
{
    struct server *s = w->server;
    uint64_t waited_ms = r->waiter.seq ? now_ms() - r->queued_at : 0;
    s->waits_ms[s->counters.waits++ % TIMES_KEPT] =
        waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX;
    histogram_add(&s->times[TIME_WAIT], (double)waited_ms / 1e3);
    /* Before it waited, the worker was not kept from it. */
    if (r->waiter.seq && w->released_us >= r->queued_at * 1000)
        histogram_add(&s->times[TIME_HANDOFF], (double)(now_us() - w->released_us) / 1e6);
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
    way_out_log(r, WAY_SERVED);
    request_unpark(r);
    if (!w->lease.holder)
        pool_lease_to(w, r->client);
    grant(w, r);
}

/* Begins to bring the thread of a request here. False where it comes by itself: it is unloaded, and
 * then may be loaded by any worker. */
static bool bring(struct worker *w, struct request *r)
{
    struct thread *t = thread_of(r);
    assert(t);
    if (mobile_is_cold(r, t)) {
        r->moved_from = t->owner;
        r->moved_at = now_ms();
        evict_family(t);
        return false;
    }
    pool_lease_to(w, r->client);
    if (move_begin(t, w))
        return true;
    t->keeps |= 1U << STAY_FAILED;
    pool_end_lease(w);
    return false;
}

static struct request *first_to_bring(const struct worker *w, const struct request *next)
{
    return mobile_next(w, next ? next->waiter.seq : UINT64_MAX, waiter_may_lease, NULL);
}

/* A free worker is of more use to what is being replaced than to who waits: it is held itself, or
 * takes the next thread of one that is. */
static bool make_room(struct worker *w, bool wanted)
{
    struct thread *t;
    bool held = renew_hold(w, wanted);
    if (!held && !(wanted && crew_has(w) && (t = renew_leaver(w->server))))
        return false;
    if (held || w->state != WORKER_IDLE)
        worker_set_state(w, WORKER_IDLE); /* its timer ends the hold */
    return held || pool_relocate(t);
}

void pool_free_worker(struct worker *w)
{
    if (w->exited || renew_if_due(w))
        return;
    struct request *next = next_for(w), *moving = first_to_bring(w, next);
    bool silent = (next || moving) && crew_is_silent(w);
    if (!silent && make_room(w, next || moving))
        return;
    /* What would come here is a reason for who is one too many to leave, not to stay. */
    for (; moving && !silent && crew_has(w); moving = first_to_bring(w, next))
        if (bring(w, moving))
            return;
    if (next && !silent) {
        grant_from_queue(w, next);
        return;
    }
    if (w->state != WORKER_IDLE)
        worker_set_state(w, WORKER_IDLE);
    w->server->renew = true; /* it could have a thread of one that is to be replaced */
    if (silent)
        crew_probe(w);
    server_check_drained(w->server);
}

/* The holder's own requests that waited because something ran there. */
static struct request *holders_next(const struct worker *w)
{
    list_for_each (it, &w->lease.holder->requests) {
        struct request *r = list_entry(it, struct request, in_client);
        if (r->state != REQUEST_QUEUED || r->acquire)
            continue;
        struct thread *t = thread_of(r);
        if (t ? t->owner == w : w->lease.acquired || w->lease.pinned)
            return r;
    }
    return NULL;
}

bool pool_somebody_waits(const struct worker *w)
{
    const struct server *s = w->server;
    /* So does a shutdown, and one whose thread would move here. */
    if (s->phase == SERVER_DRAINING || s->admission == ADMISSION_DRAINING)
        return true;
    return !admission_held_back(s) &&
           (!lane_empty(&w->lane) || !lane_empty(&s->queue.any) || first_to_bring(w, NULL));
}

static bool waits_for_holder(const struct waiter *w, void *arg)
{
    const struct worker *worker = arg;
    return request_of(w)->client != worker->lease.holder && waiter_may_have(w, arg);
}

uint64_t pool_waited_since(const struct worker *w)
{
    struct waiter *first =
        queue_oldest(&w->server->queue, &w->lane, waits_for_holder, (void *)(uintptr_t)w);
    return first ? request_of(first)->queued_at : 0;
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

static void settle(struct worker *w)
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
            settle(w);
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

void pool_settle(struct worker *w)
{
    /* What has ended here may have held a thread that somebody waits for. */
    w->server->offer = w->server->offer || (w->state == WORKER_BUSY && !lane_empty(&w->lane));
    settle(w);
}

void pool_settle_all(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        pool_settle(s->workers[i]);
}

/* False where it may not wait; then it has been failed. */
static bool may_enqueue(struct request *r)
{
    struct server *s = r->server;
    if (crew_hopeless(s)) {
        request_fail(r, RPC_WORKER_START, "%s", s->start_failure ? s->start_failure : "");
        return false;
    }
    if (s->queue.length >= (size_t)s->config->max_queue || !admission_may_wait(r->client)) {
        s->counters.rejected++;
        way_out_log(r, WAY_REFUSED);
        request_fail(r, RPC_QUEUE_FULL, "Server overloaded; retry later.");
        return false;
    }
    return true;
}

/* False when out of memory; then it has been failed. */
static bool enqueue(struct request *r, struct worker *want)
{
    struct server *s = r->server;
    struct client *c = r->client;
    if (!request_keep(r))
        return false;
    if (!r->timeout_ms)
        r->timeout_ms = (uint64_t)s->config->acquire_timeout_ms;
    if (r->timeout_ms && !request_start_timer(r, r->timeout_ms))
        return false;
    r->state = REQUEST_QUEUED;
    r->queued_at = now_ms();
    queue_add(&s->queue, want ? &want->lane : &s->queue.any, &r->waiter);
    c->n_waiting++;
    s->counters.queued++;
    struct log_fields fields = {.client = c->id,
                                .worker = want ? want->id : 0,
                                .thread = r->thread_id,
                                .queued = true,
                                .queue_length = s->queue.length};
    log_event(&s->log, LOG_DEBUG, &fields, "queue: waits: client %u for %s, queue length %zu",
              c->id, want ? "its thread's owner" : "any worker", s->queue.length);
    return true;
}

static void wait_in_line(struct request *r, struct worker *want)
{
    struct server *s = r->server;
    if (!may_enqueue(r) || !enqueue(r, want))
        return;
    control_tell_queued(r);
    crew_start_workers(s);
    crew_probe_silent(s);
    pool_settle_all(s);
}

/* Free, and nobody who waits may have it: an offer may still be due to those. */
static bool is_free_for(struct worker *w, const struct request *r)
{
    const struct server *s = w->server;
    return w->state == WORKER_IDLE && !w->held_until && !w->exited && !crew_is_silent(w) &&
           !admission_held_back(s) && admission_in_share(r->client) && !oldest_for(w) &&
           !first_to_bring(w, NULL);
}

/* Its thread's owner is busy, and another worker is idle: the thread moves, and the request is only
 * for that long in the queue, full or not. */
static bool bring_at_once(struct request *r)
{
    struct server *s = r->server;
    struct thread *t = thread_of(r);
    struct worker *w = t ? choose_idle(s, mobile_fits, t->owner) : NULL;
    if (!w || !is_free_for(w, r) || mobile_decide(r, t, w, 0) != POLICY_MOVE)
        return false;
    if (mobile_is_cold(r, t) || mobile_would_pass(r, waiter_may_lease, NULL))
        return false; /* by pool_offer, when it is in the queue */
    if (enqueue(r, t->owner) && !bring(w, r))
        pool_free_worker(w);
    /* Should the thread stay after all, a lease that only lingers there must end. */
    s->offer = true;
    return true;
}

void pool_request(struct request *r, struct worker *want)
{
    struct server *s = r->server;
    struct worker *w = want;
    if (admission_turned_away(r)) {
        request_fail(r, RPC_SHUTDOWN, "Worker pool has been shut down.");
        return;
    }
    if (want && r->acquire && want->state == WORKER_BUSY && want->lease.holder == r->client) {
        grant(want, r);
        return;
    }
    if (want && bring_at_once(r))
        return;
    if (!want && !r->acquire && (w = choose_held(r->client, false))) {
        grant(w, r);
        return;
    }
    if (!want)
        w = choose_idle(s, NULL, NULL);
    if (w && is_free_for(w, r)) {
        pool_lease_to(w, r->client);
        grant(w, r);
    } else if (!want && !r->acquire && (w = choose_held(r->client, true))) {
        /* Nobody else can have that one: better than to wait beside it. */
        grant(w, r);
    } else {
        wait_in_line(r, want);
        s->offer = true;
    }
}

void pool_dequeue(struct request *r)
{
    struct server *s = r->server;
    queue_remove(&s->queue, &r->waiter);
    r->client->n_waiting--;
    /* Whoever came after it for the same thread may be the first now whom it would move for. */
    s->offer = s->offer || (r->thread_id && s->queue.length);
    if (!s->queue.length)
        server_trim_later(s);
    control_positions_changed(s);
}

void pool_timed_out(struct request *r)
{
    r->server->counters.timed_out++;
    way_out_log(r, WAY_TIMED_OUT);
    request_fail(r, RPC_ACQUIRE_TIMEOUT, "Worker acquisition timed out after %llu ms.",
                 (unsigned long long)r->timeout_ms);
}

void pool_cancel(struct request *r, bool by_admin)
{
    r->server->counters.cancelled++;
    way_out_log(r, by_admin ? WAY_CANCELLED_BY_ADMIN : WAY_CANCELLED);
    request_fail(r, RPC_ABORTED, "Worker acquisition aborted while waiting.");
}

void pool_abandon(struct request *r)
{
    r->server->counters.aborted++;
    way_out_log(r, WAY_CLIENT_GONE);
    request_free(r);
}

void pool_reject_all(struct server *s, int code, const char *message)
{
    struct waiter *w;
    while ((w = queue_first(&s->queue))) {
        struct request *r = request_of(w);
        way_out_log(r, code == RPC_SHUTDOWN ? WAY_SHUTDOWN : WAY_WORKER_START);
        request_fail(r, code, "%s", message);
    }
}

/* From one lane to another. True if there were any. */
static bool change_lanes(struct lane *from, const char *thread_id, struct lane *to)
{
    bool any = false;
    list_for_each_safe (it, &from->waiters) {
        struct waiter *waiter = list_entry(it, struct waiter, in_lane);
        if (request_names(request_of(waiter), thread_id)) {
            queue_move(waiter, to);
            any = true;
        }
    }
    return any;
}

void pool_thread_moved(const struct thread *t, struct worker *from)
{
    (void)change_lanes(&from->lane, t->id, &t->owner->lane);
    /* Who has waited since nobody had it has not been looked at since, perhaps. */
    (void)change_lanes(&from->server->queue.any, t->id, &t->owner->lane);
}

void pool_thread_unowned(struct worker *w, const char *id)
{
    struct server *s = w->server;
    if (!change_lanes(&w->lane, id, &s->queue.any))
        return;
    pool_offer(s);
    crew_start_workers(s);
    /* Leases that linger end for them, too. */
    pool_settle_all(s);
}

void pool_offer(struct server *s)
{
    s->offer = false;
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i]->state != WORKER_IDLE)
            settle(s->workers[i]);
        else if (s->queue.length)
            pool_free_worker(s->workers[i]);
    }
}

static bool is_another(const struct worker *w, const struct worker *owner)
{
    return w != owner;
}

bool pool_relocate(struct thread *t)
{
    struct worker *to = choose_idle(t->owner->server, is_another, t->owner);
    if (!to || !admission_in_share(t->subscriber))
        return false;
    pool_lease_to(to, t->subscriber);
    if (move_begin(t, to)) {
        renew_leaving(t->owner);
        return true;
    }
    t->keeps |= 1U << STAY_FAILED;
    pool_end_lease(to);
    worker_set_state(to, WORKER_IDLE);
    return false;
}

/* The oldest of those who wait for this thread at its owner, as far as they may have a worker. */
static struct request *first_in_line(const struct worker *w, const char *thread_id)
{
    const struct client *holder = w->lease.holder;
    list_for_each (it, &w->lane.waiters) {
        const struct waiter *waiter = list_entry(it, struct waiter, in_lane);
        struct request *r = request_of(waiter);
        if (request_names(r, thread_id) && (r->client == holder || waiter_may_lease(waiter, NULL)))
            return r;
    }
    return NULL;
}

void pool_arrived(struct worker *w, const char *thread_id)
{
    const struct client *c = w->state == WORKER_BUSY ? w->lease.holder : NULL;
    struct request *r = c && !c->doomed ? first_in_line(w, thread_id) : NULL;
    /* Where another client came first the lease ends, and that one has its turn. */
    if (r && r->client == c)
        grant_from_queue(w, r);
    else
        pool_settle(w);
    abort_check(w);
}

/* One who waits to use the thread as it was open. */
static struct request *user_of(const struct thread *t)
{
    list_for_each (it, &t->owner->lane.waiters) {
        struct request *r = request_of(list_entry(it, struct waiter, in_lane));
        if (request_names(r, t->id) && !(r->method->flags & METHOD_RESUME) && !r->acquire)
            return r;
    }
    return NULL;
}

void pool_fail_thread(const struct thread *t, const char *why)
{
    struct request *r;
    while ((r = user_of(t))) {
        way_out_log(r, WAY_THREAD_LOST);
        request_fail(r, RPC_WORKER_LOST, "Worker exited (thread %s is closed, as %s); resume it.",
                     t->id, why);
    }
}
