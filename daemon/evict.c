#include "daemon/evict.h"

#include "daemon/abort.h"
#include "daemon/client.h"
#include "daemon/lacks.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/renew.h"
#include "daemon/request.h"
#include "daemon/router.h"
#include "proto/json.h"

#define RETRY_MS 50
/* A Codex that has never closed a thread and does not close an idle one within this never will:
 * versions before 0.155 do not know the setting. */
#define NO_UNLOAD_MS 1000
/* Of one that is known for it: time to say that a turn is running after all. */
#define KEPT_MS 200
/* One that has so many of these to answer for a thread is not asked again: it does not listen. */
#define ASKS_MAX 32

/* arg: the thread's id, owned. */
static void on_answered(struct worker *w, const struct envelope *answer, void *arg)
{
    _cleanup_free_ char *id = arg;
    struct thread *t = id ? threads_find(&w->server->threads, slice_str(id)) : NULL;
    if (!t || t->owner != w || !t->evict_asks)
        return;
    t->evict_asks--;
    /* It was not loaded, so no thread/closed will come. */
    if (answer && slice_is(json_get_text(answer->result, "status"), "notLoaded"))
        t->evict_closed = true;
    if (t->evict_closed && answer)
        evict_closed(t);
}

/* The thread is not over before every request of its eviction is answered: one that came late would
 * end what the next client does with it. `more`: as for worker_ask_thread. */
static void ask_worker(struct thread *t, const char *method, const char *more)
{
    char *id = strdup(t->id);
    /* Without one it is asked again in a moment, like one that does not do as it was asked. */
    if (!id)
        return;
    t->evict_asks++;
    worker_ask_thread(t->owner, method, t->id, more, on_answered, id);
}

void evict_closed(struct thread *t)
{
    t->evict_closed = true;
    if (!t->evict_asks)
        ownership_end(t);
}

static void ask_interrupt(struct thread *t)
{
    ask_worker(t, "turn/interrupt", WHATEVER_RUNS);
}

static void ask(struct thread *t)
{
    bool pause = t->goal_active && t->persisted;
    t->evict_asked = now_ms();
    if (pause)
        ask_worker(t, "thread/goal/set", ",\"status\":\"paused\"");
    /* The interrupt first: the unsubscribe alone would lose a queued item. */
    ask_interrupt(t);
    ask_worker(t, "thread/unsubscribe", "");
    if (pause)
        ask_interrupt(t);
}

static void start_timer(struct worker *w)
{
    if (ev_is_active(&w->evict))
        return;
    ev_timer_set(&w->evict, RETRY_MS / 1e3, RETRY_MS / 1e3);
    ev_timer_start(w->server->loop, &w->evict);
}

void evict_thread(struct thread *t)
{
    if (!t->evicting) {
        t->evicting = true;
        t->evict_since = now_ms();
    }
    /* A turn that the status calls over counts no longer: its end may never be told. */
    t->owner->server->offer = true;
    struct worker *target = move_drop(t);
    start_timer(t->owner);
    ask(t);
    if (target) {
        pool_settle(target);
        abort_check(target);
    }
}

void evict_family(struct thread *t)
{
    list_for_each (it, &t->owner->threads) {
        struct thread *each = list_entry(it, struct thread, in_owner);
        if (each != t && thread_descends(each, t))
            evict_thread(each);
    }
    evict_thread(t);
}

void evict_loaded(struct thread *t, bool loaded)
{
    if (t->evict_asks)
        t->evict_asks--;
    if (loaded) {
        t->evict_closed = false;
        ask(t);
    } else if (t->evict_closed) {
        evict_closed(t);
    }
}

void evict_await(struct thread *t)
{
    t->unsubscribed = true;
    t->owner->server->offer = true; /* as in evict_thread */
    t->evict_since = now_ms();
    start_timer(t->owner);
}

bool evict_done(const struct worker *w)
{
    list_for_each (it, &w->threads)
        if (list_entry(it, struct thread, in_owner)->evicting)
            return false;
    return true;
}

/* This Codex keeps its threads; idle and without shells is as clean as it gets. */
static void give_up(struct thread *t)
{
    struct worker *w = t->owner;
    struct list blocked;
    lacks_unload(w);
    worker_ask_thread(w, "thread/backgroundTerminals/clean", t->id, "", NULL, NULL);
    if (t->unsubscribed)
        ownership_subscribe(t, NULL);
    t->evicting = t->unsubscribed = t->turn_open = false;
    t->running = 0;
    t->promised = 0;
    list_init(&blocked);
    list_splice(&blocked, &t->blocked);
    w->server->offer = true;
    evict_settled(w);
    router_route_all(&blocked);
}

/* It should have closed long ago. Who holds the worker now is not to suffer for it. */
static void overdue(struct thread *t)
{
    struct worker *w = t->owner;
    if (w->state != WORKER_BUSY || !list_empty(&w->preparing))
        worker_stop(w, true, "a thread there does not close");
    else if (!w->retire)
        renew_retire(w, "a thread there does not close");
}

static bool keeps_threads(const struct thread *t, uint64_t age_ms)
{
    uint64_t patience_ms = t->owner->keeps_threads ? KEPT_MS : NO_UNLOAD_MS;
    return !t->owner->unloads && !t->active && !t->evict_closed && age_ms >= patience_ms;
}

static void on_evict(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = container_of(timer, struct worker, evict);
    uint64_t now = now_ms(), limit = (uint64_t)w->server->config->interrupt_timeout_ms;
    bool more = false;
    (void)revents;
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        uint64_t age = now - t->evict_since;
        if (!t->evicting && !t->unsubscribed)
            continue;
        more = true;
        /* Each of these may change the list: the rest is seen in the next round. */
        if (keeps_threads(t, age)) {
            give_up(t);
            break;
        }
        if (t->evicting && age >= limit) {
            overdue(t);
            break;
        }
        bool again = now - t->evict_asked >= RETRY_MS && t->evict_asks < ASKS_MAX;
        if (t->evicting && !t->evict_closed && again && w->stdin_fd >= 0)
            ask(t);
    }
    if (!more)
        ev_timer_stop(loop, timer);
}

void evict_init(struct worker *w)
{
    ev_timer_init(&w->evict, on_evict, 0., 0.);
}

void evict_settled(struct worker *w)
{
    struct list ready;
    list_init(&ready);
    list_for_each_safe (it, &w->preparing) {
        struct request *r = list_entry(it, struct request, node);
        struct thread *t = threads_find(&w->server->threads, slice_str(r->thread_id));
        if (t && t->evicting)
            continue;
        list_remove(it);
        list_append(&ready, it);
    }
    struct request *r;
    while ((r = list_first(&ready, struct request, node))) {
        request_unpark(r);
        router_prepared(r, w);
    }
    abort_check(w);
}
