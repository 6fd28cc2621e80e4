#include "daemon/choose.h"

#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/lease.h"

/* How little an idle worker is to be chosen. The one with the fewest subscribed threads is best, so
 * that threads spread; one that is to be replaced is better left alone. */
static size_t unfitness(const struct worker *w)
{
    size_t n = w->retire ? SIZE_MAX / 2 : 0;
    list_for_each (it, &w->threads)
        n += list_entry(it, struct thread, in_owner)->subscriber != NULL;
    return n;
}

struct worker *choose_idle(const struct server *s, choose_fits *fit, const struct worker *owner)
{
    struct worker *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        if (w->state != WORKER_IDLE || w->held_until || w->exited || !crew_has(w) ||
            crew_is_silent(w) || (fit && !fit(w, owner)))
            continue;
        size_t n = unfitness(w);
        if (n < least) {
            least = n;
            best = w;
        }
    }
    return best;
}

struct worker *choose_held(const struct client *c, bool pinned)
{
    uint64_t until;
    list_for_each (it, &c->leases) {
        struct worker *w = list_entry(it, struct worker, lease.in_client);
        if ((pinned ? w->lease.pinned : w->lease.acquired) && lease_judge(w, &until) == LEASE_QUIET)
            return w;
    }
    return NULL;
}
