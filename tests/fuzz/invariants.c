#include "tests/fuzz/invariants.h"

#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/request.h"
#include "daemon/worker.h"
#include "tests/fuzz/fuzz.h"

/* The slots and the lease tell the same as the requests that point to them. */
static void check_worker(const struct worker *w)
{
    unsigned in_flight = 0;
    for (size_t i = 0; i < WORKER_SLOTS; i++) {
        const struct request *r = w->slots[i];
        if (!r)
            continue;
        in_flight++;
        MUST(r->worker == w && r->slot == i && r->state == REQUEST_SENT, "slot %zu", i);
    }
    MUST(in_flight == w->in_flight, "worker %u: %u in flight", w->id, in_flight);
    MUST((w->state == WORKER_BUSY) == (w->lease.holder != NULL), "worker %u: state %s", w->id,
         worker_state_name(w->state));
    MUST((w->state == WORKER_DOWN) == (w->pid == 0), "worker %u: pid %d", w->id, (int)w->pid);
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        MUST(t->owner == w, "thread %s: another owner", t->id);
    }
}

static bool may_lease(const struct client *c)
{
    const struct server *s = c->server;
    size_t n = 0, limit = (size_t)s->config->max_leases_per_uid;
    for (size_t i = 0; i < s->n_workers; i++)
        n += s->workers[i]->lease.holder && s->workers[i]->lease.holder->uid == c->uid;
    return !limit || n < limit;
}

static const struct worker *free_worker(const struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->state == WORKER_IDLE && !crew_is_silent(s->workers[i]))
            return s->workers[i];
    return NULL;
}

/* Nobody waits for any worker beside one that is free. */
static void check_queue(const struct server *s)
{
    const struct worker *w = free_worker(s);
    list_for_each (it, &s->queue.all) {
        const struct waiter *waiter = list_entry(it, struct waiter, in_all);
        const struct request *r =
            container_of((struct waiter *)(uintptr_t)waiter, struct request, waiter);
        bool waits = waiter->lane == &s->queue.any && !r->client->doomed && may_lease(r->client);
        MUST(!w || !waits, "client %u waits beside worker %u", r->client->id, w->id);
    }
}

void invariants_check(const struct server *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++)
        check_worker(s->workers[i]);
    list_for_each (it, &s->clients)
        n++;
    MUST(n == s->n_clients, "%zu clients, not %zu", n, s->n_clients);
    check_queue(s);
}
