#include "daemon/lease.h"

#include "daemon/pool.h"
#include "daemon/request.h"

static bool runs(const struct thread *t)
{
    /* After an unsubscribe Codex does not tell of turn/completed; the status it does. */
    return t->active || (t->running > 0 && !t->unsubscribed && !t->evicting);
}

static bool anything_runs(const struct worker *w)
{
    if (w->lease.unanswered || w->incoming)
        return true;
    list_for_each (it, &w->threads)
        if (runs(list_entry(it, struct thread, in_owner)))
            return true;
    return false;
}

/* The latest promise of a turn on any thread; 0: none. */
static uint64_t last_promise(const struct worker *w)
{
    uint64_t last = 0;
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        if (t->promised > last)
            last = t->promised;
    }
    return last;
}

enum lease_verdict lease_judge(const struct worker *w, uint64_t *until)
{
    bool kept = w->lease.acquired || w->lease.pinned;
    if (anything_runs(w))
        return LEASE_RUNS;
    uint64_t since = last_promise(w);
    if (!kept && w->lease.opened_at > since)
        since = w->lease.opened_at;
    if (since) {
        *until = since + (uint64_t)w->server->config->open_linger_ms;
        return LEASE_WAITS;
    }
    return kept ? LEASE_QUIET : LEASE_ENDS;
}

static bool starts_turn(const struct request *r)
{
    return r->method->flags & (METHOD_TURN | METHOD_PROMISES | METHOD_GOAL | METHOD_QUEUE);
}

/* What a Codex of the client's own runs beside `t`: whoever waits there for the end of the other
 * may be what the other waits for. */
static bool beside(const struct worker *w, const struct thread *other, const struct thread *t)
{
    if (!t || !other)
        return false;
    bool own = t->subscriber && t->subscriber == w->lease.holder;
    return thread_descends(other, t) || (own && thread_family(other) == thread_family(t));
}

bool lease_conflicts(const struct worker *w, const struct thread *t)
{
    if (w->incoming && w->incoming != t)
        return true;
    list_for_each (it, &w->threads) {
        const struct thread *other = list_entry(it, struct thread, in_owner);
        if ((runs(other) || other->promised) && !beside(w, other, t))
            return true;
    }
    for (size_t i = 0; i < WORKER_SLOTS; i++) {
        const struct request *r = w->slots[i];
        if (!r || !starts_turn(r) || (t && request_names(r, t->id)))
            continue;
        if (!r->thread_id ||
            !beside(w, threads_find(&w->server->threads, slice_str(r->thread_id)), t))
            return true;
    }
    return false;
}

bool lease_prolongs(const struct request *r, const struct worker *w, const struct thread *t)
{
    uint64_t waited_since = starts_turn(r) ? pool_waited_since(w) : 0;
    bool late = false;
    if (!waited_since || w->lease.acquired || w->lease.pinned)
        return false;
    list_for_each (it, &w->threads) {
        const struct thread *other = list_entry(it, struct thread, in_owner);
        uint64_t began = other->running ? other->turn_since : other->promised;
        if (!runs(other) && !other->promised)
            continue;
        if (other == t || began <= waited_since || thread_descends(other, t))
            return false;
        late = true;
    }
    return late;
}
