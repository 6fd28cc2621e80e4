#include "daemon/why.h"

#include "daemon/admission.h"
#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/mobile.h"
#include "daemon/pool.h"

#include <stdarg.h>
#include <stdio.h>

static const char *say(char *room, size_t n, const char *format, ...) CP_PRINTF(3, 4);
static const char *say(char *room, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(room, n, format, args);
    va_end(args);
    return room;
}

static const struct worker *first_in(const struct server *s, enum worker_state state)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->state == state)
            return s->workers[i];
    return NULL;
}

/* What keeps an idle worker from those who wait; NULL: nothing but the next moment. */
static const char *why_idle(const struct worker *w)
{
    if (!crew_has(w))
        return "poolSize has no room for it";
    if (crew_is_silent(w))
        return "is asked first whether it is alive";
    return w->retire ? "is to be replaced" : NULL;
}

static const char *why_no_worker(const struct server *s, char *room, size_t n)
{
    const struct worker *idle = first_in(s, WORKER_IDLE);
    const char *why = idle ? why_idle(idle) : NULL;
    if (idle)
        return why ? say(room, n, "worker %u is idle, but %s", idle->id, why)
                   : "it is served in a moment";
    if (first_in(s, WORKER_BUSY))
        return "all workers are busy";
    if (first_in(s, WORKER_ABORTING))
        return "the workers are being cleaned up after clients that left";
    return first_in(s, WORKER_STARTING) ? "the workers are starting" : "no worker runs";
}

/* Its thread's worker is busy, nothing holds the thread there, and still it has not moved. */
static const char *why_no_other(const struct server *s, const struct worker *owner, char *room,
                                size_t n)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        const char *why = why_idle(w);
        if (w->state != WORKER_IDLE || w == owner)
            continue;
        if (!why && !mobile_fits(w, owner))
            why = "runs another Codex";
        return why ? say(room, n, "worker %u is idle, but %s", w->id, why)
                   : "its thread moves in a moment";
    }
    return "all workers are busy";
}

static const char *why_owner(const struct request *r, const struct thread *t, char *room, size_t n)
{
    const struct worker *owner = t->owner;
    const char *stays;
    if (t->move)
        return "its thread is moving to another worker";
    if (t->evicting)
        return say(room, n, "worker %u unloads its thread", owner->id);
    switch (owner->state) {
    case WORKER_BUSY:
        stays = mobile_why_not(r, t);
        return stays ? say(room, n, "worker %u is busy and has its thread, which stays: %s",
                           owner->id, stays)
                     : why_no_other(r->server, owner, room, n);
    case WORKER_ABORTING:
        return say(room, n,
                   "worker %u has its thread and is being cleaned up after a client that left",
                   owner->id);
    case WORKER_IDLE:
        stays = why_idle(owner);
        return stays ? say(room, n, "worker %u has its thread, but %s", owner->id, stays)
                     : "it is served in a moment";
    default:
        return say(room, n, "worker %u had its thread and is being stopped", owner->id);
    }
}

const char *why_waits(const struct request *r, char *room, size_t n)
{
    const struct server *s = r->server;
    const struct thread *t =
        r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
    if (r->client->doomed)
        return "its client is gone";
    if (s->admission == ADMISSION_PAUSED)
        return "the pool is paused";
    if (!admission_in_share(r->client))
        return "its user has as many workers as maxLeasesPerUid allows";
    return t ? why_owner(r, t, room, n) : why_no_worker(s, room, n);
}

const char *why_leased(const struct worker *w)
{
    const struct lease *l = &w->lease;
    if (!l->holder)
        return NULL;
    list_for_each (it, &w->threads)
        if (list_entry(it, struct thread, in_owner)->running)
            return "turn";
    if (l->unanswered)
        return "request";
    if (l->acquired)
        return "acquire";
    if (l->pinned)
        return "pinned";
    return l->opened_at ? "opened" : "promise";
}
