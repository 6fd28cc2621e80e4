#include "daemon/admission.h"

#include "daemon/client.h"
#include "daemon/worker.h"

/* Shares are counted where a limit is set, which is rare, rather than kept. */
bool admission_in_share(const struct client *c)
{
    const struct server *s = c->server;
    size_t limit = (size_t)s->config->max_leases_per_uid, n = 0;
    for (size_t i = 0; limit && i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        /* One that is parked is in nobody's way. */
        n += w->lease.holder && w->lease.holder->uid == c->uid && !w->parked;
    }
    return !limit || n < limit;
}

bool admission_may_wait(const struct client *c)
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

bool admission_held_back(const struct server *s)
{
    return s->admission == ADMISSION_PAUSED;
}

bool admission_turned_away(const struct request *r)
{
    const struct server *s = r->server;
    return s->phase != SERVER_RUNNING ||
           (s->admission == ADMISSION_DRAINING && r->arrived_at >= s->admission_since);
}
