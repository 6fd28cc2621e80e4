/* Streams: counts and checks every line, at a few instructions each. */
#include "tests/bench/speed/load.h"
#include "tests/bench/speed/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define READ_BYTES ((size_t)256 * 1024)

enum stage { OPENING, STREAMING, ENDING, DONE };

struct client {
    struct peer peer;
    enum stage stage;
    size_t count;         /* lines taken */
    size_t in_line;       /* bytes of the line in progress */
    char *first_cycle;    /* what the first lines must be, byte for byte */
    char last[WIRE_TAIL]; /* the last bytes of deltas that were taken */
};

struct run {
    const struct options *o;
    struct client *clients;
    struct pollfd *polls;
    size_t cycle;
    uint64_t begin, end;
    struct usage usage;
    unsigned done;
};

static void start_turn(struct run *r, struct client *c, struct slice answer)
{
    const struct options *o = r->o;
    char thread[THREAD_ID_LEN + 1];
    line_string(answer, "\"thread\":{\"id\":\"", thread, THREAD_ID_LEN);
    c->first_cycle = must(malloc(r->cycle * o->size));
    for (size_t i = 0; i < r->cycle; i++)
        wire_delta(c->first_cycle + i * o->size, o->size, thread, i);
    if (!r->begin) {
        usage_begin(&r->usage, o->relay);
        r->begin = now_ns();
    }
    peer_send(&c->peer,
              "{\"id\":3,\"method\":\"turn/"
              "start\",\"params\":{\"threadId\":\"%s\",\"input\":[{\"type\":\"text\","
              "\"text\":\"stream %zu %zu %s %u\"}]}}",
              thread, o->count, o->size, o->how, o->rate);
}

/* Of lines that are not deltas. */
static void take_other(struct run *r, struct client *c, struct slice line)
{
    if (c->stage == OPENING && line_answers(line, 2)) {
        start_turn(r, c, line);
    } else if (c->stage == OPENING && line_has(line, "\"turn/started\"")) {
        c->stage = STREAMING;
    } else if (c->stage == ENDING && line_has(line, "\"turn/completed\"")) {
        r->end = now_ns();
        usage_sample(&r->usage);
        c->stage = DONE;
        r->done++;
    }
}

static void compare_first(struct run *r, struct client *c, const char *bytes, size_t n)
{
    size_t at = c->count * r->o->size + c->in_line, all = r->cycle * r->o->size;
    if (at < all && memcmp(bytes, c->first_cycle + at, n < all - at ? n : all - at) != 0)
        die("delta %zu or one after it is not what was sent", c->count + 1);
}

/* The WIRE_TAIL bytes before bytes[at], some of which may have come earlier. */
static const char *tail_before(const struct client *c, const char *bytes, size_t at,
                               char joined[WIRE_TAIL])
{
    if (at >= WIRE_TAIL)
        return bytes + at - WIRE_TAIL;
    memcpy(joined, c->last + at, WIRE_TAIL - at);
    memcpy(joined + WIRE_TAIL - at, bytes, at);
    return joined;
}

static void remember_last(struct client *c, const char *bytes, size_t n)
{
    char joined[WIRE_TAIL];
    const char *tail = tail_before(c, bytes, n, joined);
    memcpy(c->last, tail, WIRE_TAIL);
}

/* How many of the bytes belong to deltas. */
static size_t take_deltas(struct run *r, struct client *c, const char *bytes, size_t n)
{
    size_t at = 0, size = r->o->size, number = c->count % r->cycle;
    char tail[WIRE_TAIL], joined[WIRE_TAIL];
    compare_first(r, c, bytes, n);
    while (c->count < r->o->count && n - at >= size - c->in_line) {
        at += size - c->in_line;
        c->in_line = 0;
        wire_tail(tail, number);
        if (memcmp(tail_before(c, bytes, at, joined), tail, WIRE_TAIL) != 0)
            die("delta %zu of %zu is missing or damaged", c->count + 1, r->o->count);
        c->count++;
        number = number + 1 == r->cycle ? 0 : number + 1;
    }
    if (c->count == r->o->count) {
        c->stage = ENDING;
        return at;
    }
    c->in_line += n - at;
    remember_last(c, bytes, n);
    return n;
}

static void take_lines(struct run *r, struct client *c)
{
    struct peer *p = &c->peer;
    struct slice line;
    while (c->stage == OPENING && peer_next(p, &line))
        take_other(r, c, line);
    if (c->stage == STREAMING)
        p->begin += take_deltas(r, c, p->data + p->begin, p->end - p->begin);
    while (c->stage == ENDING && peer_next(p, &line))
        take_other(r, c, line);
}

static void open_client(struct run *r, unsigned i)
{
    struct client *c = &r->clients[i];
    peer_open(&c->peer, &r->o->to);
    peer_reserve(&c->peer, READ_BYTES);
    set_nonblocking(c->peer.out);
    peer_send_hello(&c->peer);
    peer_send_thread_start(&c->peer);
    r->polls[i] = (struct pollfd){.fd = c->peer.out, .events = POLLIN};
}

static void serve(struct run *r, unsigned i)
{
    struct client *c = &r->clients[i];
    if (!peer_read(&c->peer))
        return;
    take_lines(r, c);
    if (c->stage == DONE) {
        peer_close(&c->peer);
        r->polls[i].fd = -1;
    }
}

void load_stream(const struct options *o)
{
    struct run r = {.o = o, .cycle = wire_cycle(o->size)};
    r.clients = must(calloc(o->clients, sizeof(*r.clients)));
    r.polls = must(calloc(o->clients, sizeof(*r.polls)));
    for (unsigned i = 0; i < o->clients; i++)
        open_client(&r, i);
    while (r.done < o->clients) {
        if (poll(r.polls, o->clients, -1) < 0 && errno != EINTR)
            die("poll: %s", strerror(errno));
        for (unsigned i = 0; i < o->clients; i++)
            if (r.polls[i].revents)
                serve(&r, i);
    }
    for (unsigned i = 0; i < o->clients; i++)
        free(r.clients[i].first_cycle);
    free(r.clients);
    free(r.polls);
    size_t messages = o->count * o->clients;
    (void)printf("{\"messages\":%zu,\"bytes\":%zu,\"seconds\":%.9f,\"cpuNs\":%llu}\n", messages,
                 messages * o->size, (double)(r.end - r.begin) / 1e9,
                 (unsigned long long)usage_cpu_ns(&r.usage));
}
