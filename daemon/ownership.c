#include "daemon/ownership.h"

#include "daemon/abort.h"
#include "daemon/client.h"
#include "daemon/closed.h"
#include "daemon/evict.h"
#include "daemon/lacks.h"
#include "daemon/move.h"
#include "daemon/pool.h"
#include "daemon/renew.h"
#include "daemon/request.h"
#include "daemon/router.h"

struct thread *ownership_begin(struct worker *w, struct slice id)
{
    struct server *s = w->server;
    struct thread *t;
    /* What waited for its end may have begun it anew. */
    while ((t = threads_find(&s->threads, id)) && t->owner != w) {
        t->opening = NULL;
        ownership_end(t);
    }
    if (t)
        return t;
    t = threads_add(&s->threads, id, w, &w->threads);
    if (!t) {
        log_worker(w, LOG_ERROR, "out of memory for a thread");
        /* What it has there would not be known to be its own. */
        if (w->lease.holder)
            client_doom(w->lease.holder, "out of memory for its thread");
        return NULL;
    }
    closed_remove(w->closed, id);
    t->stream = w->streams;
    return t;
}

void ownership_subscribe(struct thread *t, struct client *c)
{
    thread_subscribe(t, c, c ? &c->threads : NULL);
    if (!c)
        t->owner->server->renew = true;
}

/* Nothing is said in a thread before the resume that loads it is answered: what is, is left from
 * when somebody else had it. And where it is loaded already, whoever has it keeps it until then: a
 * rejoin may yet be refused. Only what is said of the thread as such is for who opens it. */
struct client *ownership_reader(const struct thread *t, struct slice method)
{
    if (t->provisional && slice_starts(method, "item/"))
        return NULL;
    bool not_yet = !t->provisional && !slice_starts(method, "thread/");
    return t->opening && !not_yet ? t->opening->client : t->subscriber;
}

void ownership_asked(struct worker *w, struct slice thread_id, const struct client *c)
{
    w->askers[w->next_asker] = (struct asker){thread_hash(thread_id), c ? c->id : 0};
    w->next_asker = (w->next_asker + 1) % ASKERS_KEPT;
}

bool ownership_asker(const struct worker *w, struct slice thread_id, struct client **c)
{
    uint64_t hash = thread_hash(thread_id);
    const struct asker *found = NULL;
    *c = NULL;
    for (size_t i = 1; i <= ASKERS_KEPT && !found; i++) {
        const struct asker *a = &w->askers[(w->next_asker + ASKERS_KEPT - i) % ASKERS_KEPT];
        if (a->thread == hash)
            found = a;
    }
    list_for_each (it, &w->server->clients) {
        struct client *each = list_entry(it, struct client, in_clients);
        if (found && each->id == found->client_id)
            *c = each;
    }
    return found != NULL;
}

void ownership_not_opened(struct request *r)
{
    struct thread *t =
        r->thread_id ? threads_find(&r->server->threads, slice_str(r->thread_id)) : NULL;
    if (!t || t->opening != r)
        return;
    t->opening = NULL;
    if (t->provisional)
        ownership_end(t);
}

bool ownership_subscribed(const struct worker *w)
{
    list_for_each (it, &w->threads)
        if (list_entry(it, struct thread, in_owner)->subscriber)
            return true;
    return false;
}

void ownership_move(struct thread *t, struct worker *to)
{
    struct worker *from = t->owner;
    if (from == to)
        return;
    closed_add(from->closed, slice_str(t->id));
    closed_remove(to->closed, slice_str(t->id));
    list_remove(&t->in_owner);
    list_append(&to->threads, &t->in_owner);
    t->owner = to;
    t->stream = to->incoming == t ? to->streams : 0;
    t->active = false;
    t->running = t->commands = 0;
    t->promised = 0;
    t->owner->server->offer = true;
    pool_thread_moved(t, from);
}

/* The worker is about to load it again: somebody else's request ended it in between. */
static bool begin_again(struct worker *w, const char *id, struct request *opening)
{
    bool sent = opening && opening->state == REQUEST_SENT && opening->worker == w;
    struct thread *t = sent && worker_ready(w) ? ownership_begin(w, slice_str(id)) : NULL;
    if (!t)
        return false;
    t->provisional = true;
    t->opening = opening;
    return true;
}

void ownership_end(struct thread *t)
{
    struct worker *w = t->owner, *target = move_drop(t);
    struct request *opening = t->opening;
    struct list blocked;
    _cleanup_free_ char *id = strdup(t->id);
    list_init(&blocked);
    list_splice(&blocked, &t->blocked);
    closed_add(w->closed, slice_str(t->id));
    if (t->evicting || t->unsubscribed)
        lacks_no_unload(w);
    t->opening = NULL;
    threads_remove(&w->server->threads, t, &w->threads);
    bool again = id && begin_again(w, id, opening);
    /* First who has the worker already, then who was before the rest at this thread. */
    evict_settled(w);
    if (id && !again)
        pool_thread_unowned(w, id);
    router_route_all(&blocked);
    pool_settle(w);
    if (target) {
        pool_settle(target);
        abort_check(target);
    }
    if (w->state == WORKER_IDLE)
        (void)renew_if_due(w);
}
