#include "daemon/crew.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/mobile.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/renew.h"
#include "daemon/router.h"

#include <errno.h>

#define SILENT_MS 60000

static size_t count_state(const struct server *s, enum worker_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++)
        n += s->workers[i]->state == state;
    return n;
}

static size_t alive(const struct server *s)
{
    return s->n_workers - count_state(s, WORKER_DOWN) - count_state(s, WORKER_STOPPING);
}

static bool in_backoff(const struct worker *w)
{
    return w->state == WORKER_DOWN && ev_is_active(&w->timer);
}

bool crew_has(const struct worker *w)
{
    return w->in_crew;
}

/* It waits for no worker in particular, or its thread would move to another. */
static bool any_would_do(struct server *s, struct waiter *w)
{
    struct request *r = container_of(w, struct request, waiter);
    if (w->lane == &s->queue.any)
        return true;
    struct thread *t = r->thread_id ? threads_find(&s->threads, slice_str(r->thread_id)) : NULL;
    return t && mobile_decide(r, t, NULL, 0) == POLICY_MOVE;
}

/* Marks as many more as wanted as somebody waits for. */
static void want_more(struct server *s)
{
    size_t coming = count_state(s, WORKER_STARTING), needed = list_empty(&s->unready) ? 0 : 1;
    list_for_each (it, &s->queue.all) {
        if (needed >= s->n_workers)
            break;
        needed += any_would_do(s, list_entry(it, struct waiter, in_all));
    }
    for (size_t i = 0; i < s->n_workers; i++)
        coming +=
            s->workers[i]->state == WORKER_DOWN && s->workers[i]->wanted && crew_has(s->workers[i]);
    for (size_t i = 0; i < s->n_workers && coming < needed; i++) {
        struct worker *w = s->workers[i];
        if (w->state == WORKER_DOWN && !w->wanted && crew_has(w)) {
            w->wanted = true;
            coming++;
        }
    }
}

/* The very first start is under way, or has just failed. */
static bool first_is_pending(const struct server *s)
{
    if (s->initialize_result)
        return false;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->state != WORKER_DOWN || in_backoff(s->workers[i]))
            return true;
    return false;
}

void crew_start_workers(struct server *s)
{
    if (s->phase != SERVER_RUNNING || !count_state(s, WORKER_DOWN))
        return;
    want_more(s);
    for (size_t i = 0; i < s->n_workers && !first_is_pending(s); i++) {
        struct worker *w = s->workers[i];
        if (w->state == WORKER_DOWN && w->wanted && crew_has(w) && !in_backoff(w))
            worker_start(w);
    }
}

void crew_prewarm(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        s->workers[i]->wanted = true;
    crew_start_workers(s);
}

/* As many places as that. 0 or -ENOMEM. */
static int make_places(struct server *s, size_t n)
{
    if (n > s->n_workers) {
        struct worker **workers = realloc(s->workers, n * sizeof(*workers));
        if (!workers)
            return -ENOMEM;
        s->workers = workers;
    }
    while (s->n_workers < n) {
        struct worker *w = worker_new(s, (unsigned)s->n_workers + 1);
        if (!w)
            return -ENOMEM;
        s->workers[s->n_workers++] = w;
    }
    return 0;
}

/* Finds out who is of the crew. Who was not is to be running, by the setting prewarm. */
static void muster(struct server *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        bool in = w->parked || n++ < (size_t)s->config->pool_size;
        if (in && !w->in_crew && s->config->prewarm) {
            w->wanted = true;
            w->replace = w->state == WORKER_STOPPING;
        }
        w->in_crew = in;
    }
    s->renew = true; /* perhaps there are too many now */
}

int crew_resize(struct server *s)
{
    int r = make_places(s, (size_t)s->config->pool_size + s->n_parked);
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->state == WORKER_IDLE && !s->workers[i]->probing)
            worker_set_state(s->workers[i], WORKER_IDLE); /* its time limit may be another */
    muster(s);
    return r;
}

static bool waits_for_a_person(const struct worker *w)
{
    const struct client *c = w->state == WORKER_BUSY ? w->lease.holder : NULL;
    return c && c->park && !c->doomed && asks_open(w);
}

void crew_count_parked(struct server *s)
{
    size_t max = (size_t)s->config->max_parked, n = 0;
    bool changed = false;
    if ((!max && !s->n_parked) || s->phase != SERVER_RUNNING)
        return;
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        bool leaves = w->parked && (n >= max || !waits_for_a_person(w));
        changed = changed || leaves;
        w->parked = w->parked && !leaves;
        n += w->parked;
    }
    for (size_t i = 0; i < s->n_workers && n < max; i++) {
        struct worker *w = s->workers[i];
        if (w->parked || !waits_for_a_person(w) ||
            make_places(s, (size_t)s->config->pool_size + n + 1) < 0)
            continue;
        w->parked = changed = true;
        n++;
    }
    if (!changed)
        return;
    s->n_parked = n;
    muster(s);
    s->offer = true;
    crew_start_workers(s);
}

void crew_retry(struct worker *w)
{
    w->wanted = true;
    ev_timer_stop(w->server->loop, &w->timer);
    crew_start_workers(w->server);
}

void crew_worker_ready(struct worker *w)
{
    struct server *s = w->server;
    struct list unready;
    list_init(&unready);
    list_splice(&unready, &s->unready);
    worker_set_state(w, WORKER_IDLE);
    router_route_all(&unready);
    if (w->state == WORKER_IDLE)
        pool_free_worker(w);
    renew_look(s);   /* others may run an older binary */
    s->renew = true; /* and may follow now */
    crew_start_workers(s);
}

bool crew_hopeless(const struct server *s)
{
    bool failed = false;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        if (w->state != WORKER_DOWN)
            return false;
        /* One beyond a reduced poolSize will not be tried again. */
        failed = failed || (w->start_failed && crew_has(w));
    }
    return failed;
}

void crew_start_failed(struct worker *w)
{
    struct server *s = w->server;
    const char *why = s->start_failure ? s->start_failure : "Cannot start codex: out of memory";
    if (!crew_hopeless(s))
        return;
    pool_reject_all(s, RPC_WORKER_START, why);
    struct request *r;
    while ((r = list_first(&s->unready, struct request, node)))
        request_fail(r, RPC_WORKER_START, "%s", why);
}

void crew_worker_gone(struct worker *w)
{
    crew_start_workers(w->server);
}

uint64_t crew_idle_limit_ms(const struct worker *w)
{
    const struct config *c = w->server->config;
    uint64_t limit = (uint64_t)c->idle_timeout_ms;
    if (w->held_until)
        return w->held_until > now_ms() ? w->held_until - now_ms() : 1;
    uint64_t age = now_ms() - w->started_at, max_age = (uint64_t)c->max_worker_age_ms;
    if (max_age && age < max_age && (!limit || max_age - age < limit))
        limit = max_age - age;
    return limit;
}

void crew_worker_unused(struct worker *w)
{
    struct server *s = w->server;
    if (w->probing) {
        worker_stop(w, true, "it does not answer");
        return;
    }
    if (renew_if_due(w))
        return;
    if (w->held_until) {
        pool_free_worker(w);
        return;
    }
    bool unused = !ownership_subscribed(w) && !move_involves(w);
    bool timed_out = s->config->idle_timeout_ms &&
                     now_ms() - w->idle_since + 1 >= (uint64_t)s->config->idle_timeout_ms;
    if (timed_out && unused && alive(s) > (size_t)s->config->min_workers + s->n_parked) {
        worker_stop(w, false, "idle for idleTimeoutMs");
    } else if (timed_out && unused && !list_empty(&w->threads)) {
        worker_stop(w, true, "idle for idleTimeoutMs, to free its threads' locks");
    } else {
        worker_set_state(w, WORKER_IDLE);
    }
}

struct worker *crew_any_ready(struct server *s, const struct client *c)
{
    struct worker *best = NULL;
    list_for_each (it, &c->leases) {
        struct worker *held = list_entry(it, struct worker, lease.in_client);
        if (worker_ready(held))
            return held;
    }
    for (size_t i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];
        if (!worker_ready(w))
            continue;
        if (!best || (best->out_held && !w->out_held) ||
            (best->out_held == w->out_held && w->in_flight < best->in_flight))
            best = w;
    }
    return best;
}

bool crew_is_silent(const struct worker *w)
{
    return w->probing || now_ms() - w->last_heard > SILENT_MS;
}

uint64_t crew_silence_left_ms(const struct worker *w)
{
    uint64_t silence = now_ms() - w->last_heard;
    /* Of one that is not read from nobody knows. */
    return w->out_held || silence >= SILENT_MS ? SILENT_MS : SILENT_MS - silence;
}

void crew_worker_silent(struct worker *w)
{
    if (w->probing && !w->out_held)
        worker_stop(w, true, "it does not answer");
    else if (w->out_held || !crew_is_silent(w))
        worker_set_state(w, w->state);
    else
        crew_probe(w);
}

static void on_probed(struct worker *w, const struct envelope *answer, void *arg)
{
    (void)arg;
    w->probing = false;
    if (!answer || (w->state != WORKER_IDLE && w->state != WORKER_BUSY))
        return;
    worker_set_state(w, w->state);
    if (w->state == WORKER_IDLE)
        pool_free_worker(w);
}

void crew_probe(struct worker *w)
{
    struct server *s = w->server;
    if (w->probing)
        return;
    w->probing = true;
    ev_timer_stop(s->loop, &w->timer);
    w->last_call = false;
    ev_timer_set(&w->timer, (double)s->config->interrupt_timeout_ms / 1e3, 0.);
    ev_timer_start(s->loop, &w->timer);
    worker_ask(w, "thread/loaded/list", NULL, on_probed, NULL);
}

void crew_probe_silent(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->state == WORKER_IDLE && crew_is_silent(s->workers[i]))
            crew_probe(s->workers[i]);
}
