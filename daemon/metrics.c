#include "daemon/metrics.h"

#include "daemon/children.h"
#include "daemon/client.h"
#include "daemon/park.h"
#include "daemon/request.h"
#include "daemon/worker.h"

#include <assert.h>
#include <stdio.h>

/* Of what happens within the machine, and of what a model and its users take. */
static const double short_times[] = {.0005, .001, .0025, .005, .01, .025, .05, .1,
                                     .25,   .5,   1,     2.5,  5,   10,   30};
static const double long_times[] = {.01, .05, .1, .25, .5,  1,   2.5, 5,
                                    10,  30,  60, 120, 300, 900, 3600};

static const struct {
    const char *name, *help;
    const double *bounds;
    size_t n_bounds;
} times[SERVER_TIMES] = {
    [TIME_WAIT] = {"wait", "How long stream requests waited for the worker that they were given.",
                   long_times, ARRAY_LEN(long_times)},
    [TIME_TURN] = {"turn_duration", "How long turns ran until Codex said that they had completed.",
                   long_times, ARRAY_LEN(long_times)},
    [TIME_HANDOFF] =
        {"handoff",
         "From a worker's release to its lease to the next one in the queue, who waited "
         "for it.",
         short_times, ARRAY_LEN(short_times)},
    [TIME_WORKER_START] = {"worker_start", "From starting a worker to its answer to initialize.",
                           short_times, ARRAY_LEN(short_times)},
    [TIME_MOVE] = {"move", "How long moves of threads from one worker to another took.",
                   short_times, ARRAY_LEN(short_times)},
};

void metrics_init(struct server *s)
{
    for (size_t i = 0; i < SERVER_TIMES; i++)
        histogram_init(&s->times[i], times[i].bounds, times[i].n_bounds);
}

static void head(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP codex_pool_%s %s\n# TYPE codex_pool_%s %s\n", name, help, name, type);
}

static void counter(FILE *to, const char *name, unsigned long value, const char *help)
{
    head(to, name, "counter", help);
    fprintf(to, "codex_pool_%s %lu\n", name, value);
}

static void gauge(FILE *to, const char *name, double value, const char *help)
{
    head(to, name, "gauge", help);
    fprintf(to, "codex_pool_%s %.16g\n", name, value);
}

static void histogram(FILE *to, const struct histogram *h, size_t which)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s_seconds", times[which].name);
    head(to, name, "histogram", times[which].help);
    for (size_t i = 0; i < h->n_bounds; i++)
        fprintf(to, "codex_pool_%s_bucket{le=\"%g\"} %llu\n", name, h->bounds[i],
                (unsigned long long)histogram_upto(h, i));
    unsigned long long all = histogram_upto(h, h->n_bounds);
    fprintf(to, "codex_pool_%s_bucket{le=\"+Inf\"} %llu\n", name, all);
    fprintf(to, "codex_pool_%s_sum %.9g\ncodex_pool_%s_count %llu\n", name, h->sum, name, all);
}

/* A label's value; what could end it or its line is left out. */
static void label(FILE *to, const char *value)
{
    for (const char *p = value ? value : ""; *p; p++)
        if ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\' && (unsigned char)*p < 0x7f)
            (void)fputc(*p, to);
}

static void about(FILE *to, const struct server *s)
{
    const struct worker *latest = NULL;
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i]->version && (!latest || s->workers[i]->ready_at > latest->ready_at))
            latest = s->workers[i];
    head(to, "build_info", "gauge",
         "1; the versions of the pool and of the Codex it last started.");
    fprintf(to, "codex_pool_build_info{version=\"" CP_VERSION "\",codex_version=\"");
    label(to, latest ? latest->version : NULL);
    fprintf(to, "\"} 1\n");
    gauge(to, "uptime_seconds", (double)(now_ms() - s->started_at) / 1e3,
          "Since the daemon started.");
    gauge(to, "accepting", s->phase == SERVER_RUNNING, "1 until the daemon is told to stop.");
}

static void workers(FILE *to, const struct server *s)
{
    size_t n[WORKER_STOPPING + 1] = {0}, threads = 0, turns = 0;
    uint64_t rss = 0, processes = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        struct tree tree = children_tree(w->pid);
        n[w->state]++;
        rss += tree.rss_bytes;
        processes += tree.processes;
        list_for_each (it, &w->threads) {
            threads++;
            turns += list_entry(it, struct thread, in_owner)->running > 0;
        }
    }
    gauge(to, "size", (double)s->config->pool_size, "Workers at most (poolSize).");
    gauge(to, "parked_workers", (double)s->n_parked,
          "Workers beside poolSize, since they wait for a person (maxParked).");
    head(to, "workers", "gauge", "Workers by their state.");
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        fprintf(to, "codex_pool_workers{state=\"%s\"} %zu\n",
                worker_state_name((enum worker_state)i), n[i]);
    gauge(to, "threads", (double)threads, "Threads that workers have loaded.");
    gauge(to, "turns_running", (double)turns, "Threads on which a turn runs.");
    gauge(to, "workers_resident_memory_bytes", (double)rss,
          "Of all processes of the workers, with what they share counted each time.");
    gauge(to, "workers_processes", (double)processes, "Processes of the workers, themselves too.");
    gauge(to, "resident_memory_bytes", (double)children_rss(getpid()), "Of the daemon itself.");
}

static void queue(FILE *to, const struct server *s)
{
    const struct waiter *first = queue_first(&s->queue);
    const struct request *oldest =
        first ? container_of((struct waiter *)(uintptr_t)first, struct request, waiter) : NULL;
    gauge(to, "queue_length", (double)s->queue.length, "Requests that wait for a worker.");
    gauge(to, "queue_limit", (double)s->config->max_queue, "How many may wait (maxQueue).");
    gauge(to, "queue_oldest_wait_seconds",
          oldest ? (double)(now_ms() - oldest->queued_at) / 1e3 : 0,
          "How long the first in the queue has waited.");
}

static void clients(FILE *to, const struct server *s)
{
    size_t n[CLIENT_HTTP + 1] = {0};
    list_for_each (it, &s->clients) {
        const struct client *c = list_entry(it, struct client, in_clients);
        if (!c->park)
            n[c->transport]++;
    }
    head(to, "clients", "gauge", "Connections by what is spoken on them.");
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        fprintf(to, "codex_pool_clients{transport=\"%s\"} %zu\n",
                client_transport_name((enum client_transport)i), n[i]);
    gauge(to, "clients_limit", (double)s->config->max_clients, "Connections at most (maxClients).");
    gauge(to, "parked_clients", (double)park_count(s),
          "Clients without a connection that may come back (pool/detach).");
}

static void counters(FILE *to, const struct counters *c)
{
    counter(to, "clients_total", c->clients, "Connections that were let in.");
    counter(to, "streams_total", c->streams, "Leases of a worker to a client.");
    counter(to, "turns_total", c->turns, "Turns that have ended, however they did.");
    counter(to, "queued_total", c->queued, "Requests that had to wait for a worker.");
    counter(to, "aborted_total", c->aborted, "Leases and waits that ended as their client left.");
    counter(to, "cancelled_total", c->cancelled, "Requests taken out of the queue by pool/cancel.");
    counter(to, "parked_total", c->parked, "Connections left by pool/detach.");
    counter(to, "attached_total", c->attached, "Clients that came back by pool/attach.");
    counter(to, "parked_expired_total", c->parked_expired,
            "Parked clients that were aborted since they did not come back in time.");
    counter(to, "parked_overflowed_total", c->parked_overflowed,
            "Parked clients that were aborted since they were due more than maxParkedBytes.");
    counter(to, "timed_out_total", c->timed_out, "Requests that waited for acquireTimeoutMs.");
    counter(to, "rejected_total", c->rejected,
            "Connections not let in, and requests for which the queue had no place.");
    counter(to, "moves_total", c->moves, "Threads moved from one worker to another.");
    counter(to, "moves_failed_total", c->moves_failed, "Moves that were given up or undone.");
    counter(to, "worker_starts_total", c->worker_starts, "Workers started.");
    counter(to, "worker_exits_total", c->worker_exits, "Workers that have exited, for any reason.");
    counter(to, "workers_replaced_total", c->worker_replaced, "Workers replaced on purpose.");
    counter(to, "dropped_messages_total", c->dropped_messages,
            "Messages of workers that were for nobody.");
    counter(to, "invalid_messages_total", c->invalid_messages,
            "Messages of clients that were none of the protocol.");
}

char *metrics_build(const struct server *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return NULL;
    about(to, s);
    workers(to, s);
    queue(to, s);
    clients(to, s);
    counters(to, &s->counters);
    for (size_t i = 0; i < SERVER_TIMES; i++)
        histogram(to, &s->times[i], i);
    bool failed = ferror(to);
    if (fclose(to) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
