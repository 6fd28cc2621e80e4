#include "daemon/mobile.h"

#include "daemon/client.h"

bool mobile_fits(const struct worker *to, const struct worker *owner)
{
    bool same = to->version && owner->version && strcmp(to->version, owner->version) == 0;
    return to != owner && worker_ready(to) && !to->exited && !to->retire &&
           (same || to->version == owner->version);
}

bool mobile_is_cold(const struct request *r, const struct thread *t)
{
    return (r->method->flags & METHOD_RESUME) && t->subscriber != r->client;
}

static enum stay why_stay(const struct request *r, const struct thread *t)
{
    return mobile_is_cold(r, t) ? stay_cold(t, r->client) : stay_why(t, r->client);
}

enum policy mobile_decide(const struct request *r, const struct thread *t, const struct worker *to,
                          uint64_t rival)
{
    const struct worker *owner = t->owner;
    struct policy_case p = {
        .moves = r->server->config->moves,
        .resume = r->method->flags & METHOD_RESUME,
        .owner_free = owner->state == WORKER_IDLE && !owner->held_until,
        .owner_busy = owner->state == WORKER_BUSY || owner->held_until,
        .target = !to || mobile_fits(to, owner),
        .seq = r->waiter.seq ? r->waiter.seq : UINT64_MAX,
        .rival = rival,
    };
    /* The last, as it has the most to look at. */
    if (t->move)
        p.target = false;
    else if (p.owner_busy && p.target && p.moves != MOVES_NEVER)
        p.stay = why_stay(r, t);
    return policy_decide(&p);
}

bool mobile_would_pass(const struct request *r, bool (*may)(const struct waiter *w, void *arg),
                       void *arg)
{
    uint64_t seq = r->waiter.seq ? r->waiter.seq : UINT64_MAX;
    list_for_each (it, &r->server->queue.all) {
        const struct waiter *w = list_entry(it, struct waiter, in_all);
        const struct request *other = container_of(w, const struct request, waiter);
        if (w->seq >= seq)
            break;
        if (request_names(other, r->thread_id) && may(w, arg))
            return true;
    }
    return false;
}

struct request *mobile_next(const struct worker *to, uint64_t before,
                            bool (*may)(const struct waiter *w, void *arg), void *arg)
{
    struct server *s = to->server;
    if (s->phase != SERVER_RUNNING || s->config->moves == MOVES_NEVER)
        return NULL;
    list_for_each (it, &s->queue.all) {
        struct waiter *w = list_entry(it, struct waiter, in_all);
        struct request *r = container_of(w, struct request, waiter);
        if (w->seq >= before)
            break;
        if (w->lane == &s->queue.any || w->lane == &to->lane || !may(w, arg))
            continue;
        struct thread *t = r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
        uint64_t rival = before == UINT64_MAX ? 0 : before;
        if (t && mobile_decide(r, t, to, rival) == POLICY_MOVE && !mobile_would_pass(r, may, arg))
            return r;
    }
    return NULL;
}

const char *mobile_why_not(const struct request *r, const struct thread *t)
{
    enum moves moves = r->server->config->moves;
    if (t->move)
        return "it is moving";
    if (moves == MOVES_NEVER)
        return "moves is \"never\"";
    if (moves == MOVES_RESUME && !(r->method->flags & METHOD_RESUME))
        return "moves is \"resume\"";
    enum stay stay = why_stay(r, t);
    return stay == STAY_NOT ? NULL : stay_words(stay);
}
