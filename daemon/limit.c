#include "daemon/limit.h"

#include "daemon/asks.h"
#include "proto/rpc.h"

#include <stdio.h>

#define CHECK_MIN_S 0.05

/* Milliseconds until the turn is past a limit; 0: it is. UINT64_MAX: never. */
static uint64_t left_ms(const struct worker *w, const struct thread *t)
{
    const struct config *c = w->server->config;
    uint64_t now = now_ms(), left = UINT64_MAX;
    uint64_t age = now - t->turn_since, quiet = now - t->last_event;
    uint64_t max = (uint64_t)c->max_turn_ms, stall = (uint64_t)c->turn_stall_timeout_ms;
    if (max)
        left = age < max ? max - age : 0;
    /* One that waits for somebody's answer is not stalled; it is looked at again later. */
    if (stall && asks_open(w))
        left = left < stall ? left : stall;
    else if (stall && quiet < stall)
        left = left < stall - quiet ? left : stall - quiet;
    else if (stall)
        left = 0;
    return left;
}

static void interrupt(struct worker *w, struct thread *t, const char *why)
{
    log_thread(t, w, LOG_WARN, "its turn is interrupted at worker %u: %s", w->id, why);
    t->turn_interrupted = now_ms();
    worker_ask_thread(w, "turn/interrupt", t->id, WHATEVER_RUNS, NULL, NULL);
}

/* Milliseconds that an interrupted turn still has to end in. */
static uint64_t grace_ms(const struct worker *w, const struct thread *t)
{
    uint64_t age = now_ms() - t->turn_interrupted;
    uint64_t limit = (uint64_t)w->server->config->interrupt_timeout_ms;
    return age < limit ? limit - age : 0;
}

static void check(struct worker *w)
{
    uint64_t next = UINT64_MAX;
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        if (!t->running)
            continue;
        if (!t->turn_interrupted && left_ms(w, t) == 0)
            interrupt(w, t, "it is past maxTurnMs or turnStallTimeoutMs");
        uint64_t left = t->turn_interrupted ? grace_ms(w, t) : left_ms(w, t);
        next = left < next ? left : next;
    }
    ev_timer_stop(w->server->loop, &w->limit);
    if (next == UINT64_MAX)
        return;
    double after = (double)next / 1e3;
    ev_timer_set(&w->limit, after > CHECK_MIN_S ? after : CHECK_MIN_S, 0.);
    ev_timer_start(w->server->loop, &w->limit);
}

static bool overdue(const struct worker *w)
{
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        if (t->running && t->turn_interrupted && grace_ms(w, t) == 0)
            return true;
    }
    return false;
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = container_of(timer, struct worker, limit);
    char reason[128];
    (void)loop;
    (void)revents;
    if (!overdue(w)) {
        check(w);
        return;
    }
    (void)snprintf(reason, sizeof(reason), "its turn did not end within %lld ms of the interrupt",
                   (long long)w->server->config->interrupt_timeout_ms);
    worker_stop(w, true, reason);
}

void limit_init(struct worker *w)
{
    ev_timer_init(&w->limit, on_limit, 0., 0.);
}

void limit_update(struct worker *w)
{
    const struct config *c = w->server->config;
    bool active = ev_is_active(&w->limit);
    if (!c->max_turn_ms && !c->turn_stall_timeout_ms && !active)
        return;
    /* A timer that runs looks at everything when it fires; the next stream is not to wait for that
     * of this one. */
    if (!active || !w->lease.holder)
        check(w);
}

void limit_interrupt(struct thread *t, const char *why)
{
    if (!t->turn_interrupted)
        interrupt(t->owner, t, why);
    check(t->owner);
}
