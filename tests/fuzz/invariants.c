#include "tests/fuzz/invariants.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/crew.h"
#include "daemon/evict.h"
#include "daemon/lease.h"
#include "daemon/pool.h"
#include "daemon/request.h"
#include "daemon/worker.h"
#include "tests/fuzz/fuzz.h"

struct leased {
    const struct worker *worker;
    unsigned n;
};

static void count_leased(const struct request *r, void *arg)
{
    struct leased *leased = arg;
    leased->n += r->lease_worker == leased->worker;
}

/* The slots and the lease tell the same as the requests that point to them. */
static void check_worker(const struct worker *w)
{
    unsigned in_flight = 0;
    struct leased leased = {.worker = w};
    backlog_each(&w->unsent, count_leased, &leased);
    list_for_each (it, &w->preparing)
        count_leased(list_entry(it, struct request, node), &leased);
    for (size_t i = 0; i < WORKER_SLOTS; i++) {
        const struct request *r = w->slots[i];
        if (!r)
            continue;
        in_flight++;
        count_leased(r, &leased);
        MUST(r->worker == w && r->slot == i && r->state == REQUEST_SENT, "slot %zu", i);
    }
    MUST(in_flight == w->in_flight, "worker %u: %u in flight", w->id, in_flight);
    MUST(leased.n == w->lease.unanswered, "worker %u: %u unanswered, not %u", w->id, leased.n,
         w->lease.unanswered);
    MUST((w->state == WORKER_BUSY) == (w->lease.holder != NULL), "worker %u: state %s", w->id,
         worker_state_name(w->state));
    MUST((w->state == WORKER_DOWN) == (w->pid == 0), "worker %u: pid %d", w->id, (int)w->pid);
    MUST(!worker_ready(w) || list_empty(&w->server->unready), "worker %u: somebody waits for any",
         w->id);
}

/* Who is kept back by a thread is kept back for as long as something goes on with it. */
static void check_threads(const struct worker *w)
{
    bool evicting = false;
    list_for_each (it, &w->threads) {
        const struct thread *t = list_entry(it, struct thread, in_owner);
        MUST(t->owner == w, "thread %s: another owner", t->id);
        MUST(list_empty(&t->blocked) || t->move || t->evicting || t->unsubscribed,
             "thread %s: somebody waits for nothing", t->id);
        evicting = evicting || t->evicting;
    }
    MUST(list_empty(&w->preparing) || evicting, "worker %u: somebody waits for nothing", w->id);
}

/* A lease that may end has ended, and a worker that is being cleaned waits for something. */
static void check_progress(const struct worker *w)
{
    uint64_t until = 0;
    if (w->state == WORKER_ABORTING)
        MUST(w->lease.unanswered || w->incoming || w->verifying || !evict_done(w),
             "worker %u: it is clean", w->id);
    /* Every answer is a reason to look at the lease again. */
    if (w->state != WORKER_BUSY || w->exited || w->in_flight)
        return;
    enum lease_verdict verdict = lease_judge(w, &until);
    MUST(verdict != LEASE_ENDS, "worker %u: its lease is over", w->id);
    MUST(verdict != LEASE_WAITS || !pool_somebody_waits(w) || ev_is_active(&w->hold),
         "worker %u: nothing ends its lease", w->id);
}

/* What is counted of a client is what its requests come to. */
static void check_client(const struct client *c)
{
    size_t waiting = 0, held = 0, unsent = 0;
    list_for_each (it, &c->requests) {
        const struct request *r = list_entry(it, struct request, in_client);
        size_t cost = r->line.n + 4096; /* as request.c has it */
        MUST(r->client == c && r->state != REQUEST_NEW, "client %u: a request on no way", c->id);
        waiting += r->state == REQUEST_QUEUED;
        held += r->held ? cost : 0;
        unsent += r->state == REQUEST_UNSENT ? cost : 0;
    }
    MUST(waiting == c->n_waiting, "client %u: %zu wait", c->id, waiting);
    MUST(held == c->held_bytes, "client %u: %zu bytes held", c->id, held);
    MUST(unsent == c->unsent_bytes, "client %u: %zu bytes unsent", c->id, unsent);
    MUST(!(c->paused & CLIENT_PAUSE_WORKER) == list_empty(&c->in_stuck), "client %u: stuck", c->id);
}

static bool may_lease(const struct client *c)
{
    const struct server *s = c->server;
    size_t n = 0, limit = (size_t)s->config->max_leases_per_uid;
    for (size_t i = 0; i < s->n_workers; i++)
        n += s->workers[i]->lease.holder && s->workers[i]->lease.holder->uid == c->uid &&
             !s->workers[i]->parked;
    return !limit || n < limit;
}

/* One beyond a reduced poolSize, kept for the threads that clients have open there, serves those
 * and nobody else; one that is held serves nobody. */
static const struct worker *free_worker(const struct server *s, const struct lane *lane)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        bool serves = lane == &w->lane || (lane == &s->queue.any && crew_has(w));
        if (serves && w->state == WORKER_IDLE && !w->held_until && !crew_is_silent(w))
            return w;
    }
    return NULL;
}

/* Nobody waits beside a worker that is free, or for the owner of a thread that has none. */
static void check_queue(const struct server *s)
{
    size_t n = 0;
    list_for_each (it, &s->queue.all) {
        const struct waiter *waiter = list_entry(it, struct waiter, in_all);
        const struct request *r =
            container_of((struct waiter *)(uintptr_t)waiter, struct request, waiter);
        bool paused = s->admission == ADMISSION_PAUSED;
        const struct worker *w = paused ? NULL : free_worker(s, waiter->lane);
        const struct thread *t =
            r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
        n++;
        MUST(waiter->lane == &s->queue.any || t, "client %u waits for no thread", r->client->id);
        MUST(!w || r->client->doomed || (t && t->move) || !may_lease(r->client),
             "client %u waits beside worker %u", r->client->id, w->id);
    }
    MUST(n == s->queue.length, "%zu wait", n);
}

/* Those beside poolSize wait for a person who has left, and the rest is as many as poolSize. */
static void check_crew(const struct server *s)
{
    size_t parked = 0, in_crew = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        bool waits = w->lease.holder && w->lease.holder->park && asks_open(w);
        MUST(!w->parked || s->phase != SERVER_RUNNING || waits, "worker %u is parked", w->id);
        parked += w->parked;
        in_crew += crew_has(w);
    }
    MUST(parked == s->n_parked && parked <= s->n_workers, "%zu are parked", parked);
    MUST(in_crew == parked + (size_t)s->config->pool_size, "%zu are in the crew", in_crew);
}

void invariants_check(const struct server *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        check_worker(s->workers[i]);
        check_threads(s->workers[i]);
        check_progress(s->workers[i]);
    }
    list_for_each (it, &s->clients) {
        const struct client *c = list_entry(it, struct client, in_clients);
        check_client(c);
        n += !c->park;
    }
    MUST(n == s->n_clients, "%zu are connected, not %zu", n, s->n_clients);
    check_crew(s);
    check_queue(s);
}
