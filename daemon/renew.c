#include "daemon/renew.h"

#include "daemon/children.h"
#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/spawn.h"
#include "daemon/stay.h"

/* A changed binary need not be noticed sooner. */
#define LOOK_MS 10000

/* How long one is held: this share of the time since it was held last, within these bounds. */
#define HOLD_SHARE 10
#define HOLD_MIN_MS 1000
#define HOLD_MAX_MS 10000

/* Past one of the limits. */
static const char *worn_out(const struct worker *w)
{
    const struct config *c = w->server->config;
    if (c->max_streams_per_worker &&
        w->streams_since_start >= (unsigned long)c->max_streams_per_worker)
        return "it is past maxStreamsPerWorker";
    if (c->max_worker_age_ms && now_ms() - w->started_at >= (uint64_t)c->max_worker_age_ms)
        return "it is past maxWorkerAgeMs";
    if (c->max_worker_rss_bytes &&
        children_tree(w->pid).rss_bytes > (uint64_t)c->max_worker_rss_bytes)
        return "it is past maxWorkerRssBytes";
    return NULL;
}

/* One that is on its way to be ready again, or cannot be started: not another one as well. So a
 * binary that does not start costs one worker and no more. */
static bool another_is_away(const struct worker *w)
{
    const struct server *s = w->server;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *other = s->workers[i];
        bool away = !worker_ready(other) && (other->state != WORKER_DOWN || other->wanted);
        if (other != w && crew_has(other) && (away || other->held_until))
            return true;
    }
    return false;
}

void renew_retire(struct worker *w, const char *why)
{
    if (w->state == WORKER_DOWN || w->state == WORKER_STOPPING || w->retire)
        return;
    log_worker(w, LOG_INFO, "will be replaced: %s", why);
    w->retire = why;
    w->server->renew = true;
}

void renew_retire_others(struct worker *w, const char *change)
{
    struct server *s = w->server;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i] != w)
            renew_retire(s->workers[i], change);
}

void renew_look(struct server *s)
{
    struct binary now;
    _cleanup_free_ char *path = spawn_resolve(s->config);
    bool readable = path && binary_read(path, &now) == 0;
    s->looked_at = now_ms();
    for (size_t i = 0; readable && i < s->n_workers; i++)
        if (s->workers[i]->pid > 0 && !binary_same(&now, &s->workers[i]->binary))
            renew_retire(s->workers[i], "the codex binary has changed");
}

const char *renew_why(const struct worker *w)
{
    if (w->state == WORKER_DOWN || w->state == WORKER_STOPPING)
        return NULL;
    return crew_has(w) ? w->retire : "poolSize has no room for it";
}

bool renew_if_due(struct worker *w)
{
    if (!w->retire && crew_has(w)) {
        const char *worn = worn_out(w);
        if (worn)
            renew_retire(w, worn);
    }
    const char *why = renew_why(w);
    if (!why)
        return false;
    w->server->renew = true;
    if (ownership_subscribed(w) || move_involves(w) || (crew_has(w) && another_is_away(w)))
        return false;
    if (!crew_has(w))
        w->wanted = false;
    worker_stop(w, crew_has(w), why);
    return true;
}

const char *renew_keeps(const struct thread *t)
{
    if (t->owner->server->config->moves != MOVES_AUTO)
        return "moves is not \"auto\"";
    if (t->move)
        return "it is moving";
    enum stay stay = stay_why(t, t->subscriber);
    return stay == STAY_NOT ? NULL : stay_words(stay);
}

/* The first thread to leave; NULL where there is none, or one has to stay: then the others would
 * leave for nothing. */
static struct thread *first_to_leave(const struct worker *w)
{
    struct thread *found = NULL;
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        if (!t->subscriber)
            continue;
        if (t->subscriber->doomed || renew_keeps(t))
            return NULL;
        if (!found)
            found = t;
    }
    return found;
}

static bool another_could_have_them(const struct worker *w)
{
    const struct server *s = w->server;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i] != w && worker_ready(s->workers[i]) && crew_has(s->workers[i]))
            return true;
    return false;
}

/* As renew_hold, of one that is not held yet. */
static bool begin_hold(struct worker *w)
{
    uint64_t now = now_ms(), share = w->held_last ? (now - w->held_last) / HOLD_SHARE : 0;
    if (!renew_why(w) || (crew_has(w) && another_is_away(w)) || !another_could_have_them(w) ||
        !first_to_leave(w))
        return false;
    share = share < HOLD_MIN_MS ? HOLD_MIN_MS : share;
    w->held_until = now + (share > HOLD_MAX_MS ? HOLD_MAX_MS : share);
    w->server->renew = true;
    log_debug(&w->server->log, "worker %u: held, so that its open threads can leave", w->id);
    return true;
}

/* Why one of its open threads cannot leave; NULL where all can. */
static const char *has_to_stay(const struct worker *w)
{
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        const char *why =
            t->subscriber && !t->subscriber->doomed && !t->move ? renew_keeps(t) : NULL;
        if (why)
            return why;
    }
    return NULL;
}

bool renew_hold(struct worker *w, bool somebody_waits)
{
    if (!w->held_until) {
        /* So long it must have been of use before it is held again. */
        bool again = now_ms() - w->held_last >= HOLD_MIN_MS * HOLD_SHARE;
        return again && somebody_waits && begin_hold(w);
    }
    const char *stays = has_to_stay(w);
    if (now_ms() < w->held_until && !stays)
        return true;
    log_debug(&w->server->log, "worker %u: held in vain: %s", w->id,
              stays ? stays : "no other was free");
    w->held_last = now_ms();
    w->held_until = 0;
    return false;
}

void renew_leaving(struct worker *w)
{
    uint64_t until = now_ms() + HOLD_MIN_MS;
    if (w->held_until && w->held_until < until)
        w->held_until = until;
}

struct thread *renew_leaver(const struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        if (w->held_until && w->state == WORKER_IDLE && !move_involves(w))
            return first_to_leave(w);
    }
    return NULL;
}

void renew_next(struct server *s)
{
    s->renew = false;
    if (s->phase != SERVER_RUNNING)
        return;
    if (now_ms() - s->looked_at >= LOOK_MS)
        renew_look(s);
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        if (!renew_why(w) || w->state != WORKER_IDLE || w->exited || renew_if_due(w))
            continue;
        /* Two that are both to be replaced would pass their threads to and fro meanwhile. */
        if (crew_has(w) && another_is_away(w))
            continue;
        struct thread *t = move_involves(w) ? NULL : first_to_leave(w);
        if (t && pool_relocate(t))
            break;
        if (t)
            crew_probe_silent(s);
    }
    /* Whatever this has seen stays so until something says that it has changed. */
    s->renew = false;
}
