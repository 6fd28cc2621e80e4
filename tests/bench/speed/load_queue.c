/* Those who wait for a worker: how fast one follows the other, what they take, who gets how much.
 */
#include "tests/bench/speed/load.h"
#include "tests/bench/speed/wire.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#define EVENTS 64
#define WARM_UP 200
/* Longer than codex-poold keeps what an answer about so many has taken. */
#define SETTLE_MS 1500

struct crowd {
    struct peer *peers;
    unsigned count;
    int epoll;
};

static void crowd_open(struct crowd *c, const struct options *o, unsigned count)
{
    *c = (struct crowd){.count = count, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    c->peers = must(calloc(count, sizeof(*c->peers)));
    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        peer_open(&c->peers[i], &o->to);
        if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->peers[i].out, &event) < 0)
            die("epoll: %s", strerror(errno));
    }
}

static void crowd_close(struct crowd *c)
{
    for (unsigned i = 0; i < c->count; i++)
        peer_close(&c->peers[i]);
    free(c->peers);
    (void)close(c->epoll);
}

/* Calls `take` with each line that arrives, until `over` says that it is. */
static void crowd_run(struct crowd *c, void (*take)(void *arg, unsigned i, struct slice line),
                      bool (*over)(void *arg), void *arg)
{
    struct epoll_event events[EVENTS];
    struct slice line;
    while (!over(arg)) {
        int n = epoll_wait(c->epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n && !over(arg); i++) {
            struct peer *p = &c->peers[events[i].data.u32];
            (void)peer_read(p);
            while (!over(arg) && peer_next(p, &line))
                take(arg, events[i].data.u32, line);
        }
    }
}

struct handoff {
    struct crowd crowd;
    unsigned *queue; /* who has asked again, oldest first, as a ring */
    bool *served;
    size_t first, last;
    size_t count, goal;
    uint64_t begin, end;
    struct usage usage;
    pid_t relay;
};

static void want(struct handoff *h, unsigned i, bool give_back)
{
    peer_send(&h->crowd.peers[i], "%s{\"id\":7,\"method\":\"pool/acquire\",\"params\":{}}",
              give_back ? "{\"id\":8,\"method\":\"pool/release\",\"params\":{}}\n" : "");
    if (give_back)
        h->queue[h->last++ % (h->crowd.count + 1)] = i;
}

/* Each has asked by itself at first, in an order that the other side knows better; from then on
 * they ask in the order in which they were served. */
static bool in_turn(struct handoff *h, unsigned i)
{
    if (h->count >= h->crowd.count)
        return h->queue[h->first++ % (h->crowd.count + 1)] == i;
    bool again = h->served[i];
    h->served[i] = true;
    return !again;
}

/* Whoever is given the worker gives it back at once, and wants it again. */
static void take_handoff(void *arg, unsigned i, struct slice line)
{
    struct handoff *h = arg;
    if (line_answers(line, 8))
        return;
    if (!line_answers(line, 7) || !in_turn(h, i))
        die("client %u has got the worker out of turn: %.*s", i, (int)line.n, line.p);
    h->count++;
    if (h->count == WARM_UP) {
        usage_begin(&h->usage, h->relay);
        h->begin = now_ns();
    }
    if (h->count == h->goal) {
        h->end = now_ns();
        usage_sample(&h->usage);
    }
    want(h, i, true);
}

static bool handoff_over(void *arg)
{
    const struct handoff *h = arg;
    return h->count >= h->goal;
}

static size_t queue_length(struct peer *control, unsigned long id)
{
    peer_send(control, "{\"id\":%lu,\"method\":\"pool/status\",\"params\":{}}", id);
    struct slice line = peer_answer(control, id);
    const char *key = "\"queue\":{\"length\":";
    const char *at = memmem(line.p, line.n, key, strlen(key));
    if (!at)
        die("no length of the queue in the status");
    return strtoul(at + strlen(key), NULL, 10);
}

static void await_queue(struct peer *control, size_t length)
{
    for (unsigned long id = 1; queue_length(control, id) != length; id++)
        (void)usleep(20000);
}

void load_handoff(const struct options *o)
{
    struct handoff h = {.goal = WARM_UP + o->count, .relay = o->relay};
    struct peer control;
    crowd_open(&h.crowd, o, o->clients + 1);
    peer_open(&control, &o->to);
    h.queue = must(calloc(h.crowd.count + 1, sizeof(*h.queue)));
    h.served = must(calloc(h.crowd.count, sizeof(*h.served)));
    for (unsigned i = 0; i < h.crowd.count; i++)
        want(&h, i, false);
    await_queue(&control, o->clients);
    peer_close(&control);
    crowd_run(&h.crowd, take_handoff, handoff_over, &h);
    crowd_close(&h.crowd);
    free(h.queue);
    free(h.served);
    (void)printf("{\"messages\":%zu,\"us\":%.3f,\"cpuNs\":%llu}\n", o->count,
                 (double)(h.end - h.begin) / 1000 / (double)o->count,
                 (unsigned long long)usage_cpu_ns(&h.usage));
}

static uint64_t pss(pid_t relay)
{
    return memory_of(relay, "smaps_rollup", "Pss:");
}

/* When what was asked of the queue has been given back: the least of a while. */
static uint64_t settled_pss(pid_t relay)
{
    uint64_t least = pss(relay);
    for (int i = 0; i < SETTLE_MS / 100; i++) {
        (void)usleep(100000);
        uint64_t now = pss(relay);
        least = now < least ? now : least;
    }
    return least;
}

void load_waiters(const struct options *o)
{
    struct crowd crowd;
    struct peer holder, control;
    peer_open(&holder, &o->to);
    peer_open(&control, &o->to);
    peer_send(&holder, "{\"id\":7,\"method\":\"pool/acquire\",\"params\":{}}");
    (void)peer_answer(&holder, 7);
    await_queue(&control, 0);
    uint64_t before = pss(o->relay), begin = now_ns();
    crowd_open(&crowd, o, o->clients);
    for (unsigned i = 0; i < o->clients; i++) {
        peer_send_hello(&crowd.peers[i]);
        peer_send_thread_start(&crowd.peers[i]);
    }
    for (unsigned i = 0; i < o->clients; i++)
        (void)peer_answer(&crowd.peers[i], 1);
    await_queue(&control, o->clients);
    uint64_t end = now_ns(), with = settled_pss(o->relay);
    crowd_close(&crowd);
    await_queue(&control, 0);
    uint64_t after = pss(o->relay);
    peer_close(&control);
    peer_close(&holder);
    (void)printf("{\"messages\":%u,\"seconds\":%.3f,\"bytesEach\":%.1f,\"keptEach\":%.1f}\n",
                 o->clients, (double)(end - begin) / 1e9,
                 ((double)with - (double)before) / o->clients,
                 ((double)after - (double)before) / o->clients);
}

struct fair {
    struct crowd crowd;
    char (*threads)[THREAD_ID_LEN + 1];
    size_t *turns; /* in the measured time */
    unsigned warm; /* clients that have had a turn */
    bool *had;
    uint64_t begin, length;
    struct usage usage;
    pid_t relay;
};

static void take_turn(struct fair *f, unsigned i)
{
    peer_send(
        &f->crowd.peers[i],
        "{\"id\":3,\"method\":\"turn/start\",\"params\":{\"threadId\":\"%s\",\"input\":[{\"type\":"
        "\"text\",\"text\":\"stream 1 280 whole\"}]}}",
        f->threads[i]);
}

static void take_fair(void *arg, unsigned i, struct slice line)
{
    struct fair *f = arg;
    if (line_answers(line, 2)) {
        line_string(line, "\"thread\":{\"id\":\"", f->threads[i], THREAD_ID_LEN);
        take_turn(f, i);
    } else if (line_has(line, "\"method\":\"turn/completed\"")) {
        if (f->begin)
            f->turns[i]++;
        if (!f->had[i]) {
            f->had[i] = true;
            f->warm++;
        }
        if (f->warm == f->crowd.count && !f->begin) {
            usage_begin(&f->usage, f->relay);
            f->begin = now_ns();
        }
        take_turn(f, i);
    } else if (!line_answers(line, 1) && !line_answers(line, 3) &&
               !line_has(line, "\"method\":\"")) {
        die("not understood: %.*s", (int)line.n, line.p);
    }
}

static bool fair_over(void *arg)
{
    const struct fair *f = arg;
    return f->begin && now_ns() - f->begin >= f->length;
}

void load_fair(const struct options *o)
{
    struct fair f = {.length = (uint64_t)(o->seconds * 1e9), .relay = o->relay};
    crowd_open(&f.crowd, o, o->clients);
    f.threads = must(calloc(o->clients, sizeof(*f.threads)));
    f.turns = must(calloc(o->clients, sizeof(*f.turns)));
    f.had = must(calloc(o->clients, sizeof(*f.had)));
    for (unsigned i = 0; i < o->clients; i++) {
        peer_send_hello(&f.crowd.peers[i]);
        peer_send_thread_start(&f.crowd.peers[i]);
    }
    crowd_run(&f.crowd, take_fair, fair_over, &f);
    double seconds = (double)(now_ns() - f.begin) / 1e9;
    usage_sample(&f.usage);
    size_t sum = 0, most = 0, fewest = SIZE_MAX;
    for (unsigned i = 0; i < o->clients; i++) {
        sum += f.turns[i];
        most = f.turns[i] > most ? f.turns[i] : most;
        fewest = f.turns[i] < fewest ? f.turns[i] : fewest;
    }
    crowd_close(&f.crowd);
    free(f.threads);
    free(f.turns);
    free(f.had);
    (void)printf(
        "{\"messages\":%zu,\"perSecond\":%.1f,\"most\":%zu,\"fewest\":%zu,\"cpuNs\":%llu}\n", sum,
        (double)sum / seconds, most, fewest, (unsigned long long)usage_cpu_ns(&f.usage));
}
