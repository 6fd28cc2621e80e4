#include "daemon/trace.h"

#include "daemon/asks.h"
#include "daemon/ownership.h"
#include "daemon/request.h"
#include "daemon/websocket.h"
#include "proto/json.h"

#include <stdio.h>

/* A payload's bytes: at first sight, and with "full". */
#define SHORT_BYTES ((size_t)200)
#define FULL_BYTES ((size_t)1024 * 1024)
/* Methods, ids and names of threads that are longer are none that anybody knows. */
#define NAME_BYTES ((size_t)256)
/* More output than this is kept for no tracer. */
#define TRACER_ROOM ((size_t)4 * 1024 * 1024)

struct tracer {
    struct list in_server;
    struct client *client;
    unsigned client_id, worker_id; /* 0: any */
    char *thread_id, *method;      /* NULL: any; the method may have * and ? */
    bool full;
    unsigned long dropped; /* lines, since the last one told */
};

/* What there is to say of one message. Slices are raw JSON, a string's quotes left out but for
 * ids. */
struct sight {
    enum trace_way way;
    const char *kind;
    const struct client *client; /* NULL: none is concerned, or none is known */
    const struct worker *worker;
    struct slice client_id, worker_id; /* the message's, as each side knows it */
    struct slice method;               /* of an answer: what it answers */
    struct slice thread_id;
    struct slice payload;
    size_t bytes;
};

static void tracer_free(struct tracer *t)
{
    list_remove(&t->in_server);
    free(t->thread_id);
    free(t->method);
    free(t);
}

void trace_end(struct client *c)
{
    if (c->tracer)
        tracer_free(c->tracer);
    c->tracer = NULL;
}

static bool matches(const char *pattern, struct slice text)
{
    const char *star = NULL;
    size_t i = 0, from = 0;
    while (i < text.n) {
        if (*pattern == '*') {
            star = pattern++;
            from = i;
        } else if (*pattern == '?' || *pattern == text.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool wants(const struct tracer *t, const struct sight *m)
{
    return (!t->client_id || (m->client && m->client->id == t->client_id)) &&
           (!t->worker_id || (m->worker && m->worker->id == t->worker_id)) &&
           (!t->thread_id || slice_is(m->thread_id, t->thread_id)) &&
           (!t->method || (m->method.p && matches(t->method, m->method)));
}

static const char *kind_of(const struct envelope *e)
{
    switch (e->kind) {
    case ENVELOPE_REQUEST:
        return "request";
    case ENVELOPE_NOTIFICATION:
        return "notification";
    case ENVELOPE_RESPONSE:
        break;
    }
    return e->error.p ? "error" : "result";
}

static void name_by_request(struct sight *m, const struct request *r)
{
    if (!r)
        return;
    m->method = slice_str(r->name);
    m->thread_id = slice_str(r->thread_id);
    if (m->way == TRACE_FROM_WORKER && r->client) {
        m->client = r->client;
        m->client_id = slice_str(r->id);
    }
}

/* An answer of a client's, to a worker's request. */
static void name_by_ask(struct sight *m, struct slice id)
{
    struct ask_view ask;
    if (!m->client || !asks_look(m->client, id, &ask))
        return;
    m->worker = ask.worker;
    m->method = slice_str(ask.method);
    m->thread_id = slice_str(ask.thread_id);
    m->worker_id = slice_str(ask.raw_id);
}

static const struct request *request_of(const struct client *c, struct slice id)
{
    if (!id.p)
        return NULL; /* an error that answers nothing in particular */
    list_for_each (it, &c->requests) {
        const struct request *r = list_entry(it, struct request, in_client);
        if (slice_is(id, r->id))
            return r;
    }
    return NULL;
}

/* Who is told, as far as that is known yet. */
static const struct client *reader(const struct worker *w, const struct envelope *e)
{
    const struct thread *t = threads_find(&w->server->threads, e->thread_id);
    if (!t || t->owner != w)
        return w->lease.holder;
    return ownership_reader(t, e->method);
}

/* The worker whose bytes these are, which are passed on from where they have been read. */
static const struct worker *source_of(const struct server *s, const char *p)
{
    for (size_t i = 0; i < s->n_workers; i++)
        if (linebuf_has(&s->workers[i]->out, p))
            return s->workers[i];
    return NULL;
}

/* Ids are told apart, and an answer is named by what it answers. */
static void look_closer(struct sight *m, const struct envelope *e, struct slice id_there)
{
    bool answer = e->kind == ENVELOPE_RESPONSE;
    switch (m->way) {
    case TRACE_FROM_CLIENT:
        m->client_id = e->id;
        if (answer)
            name_by_ask(m, e->id);
        break;
    case TRACE_TO_WORKER:
        m->client_id = m->client ? e->id : SLICE_NULL;
        m->worker_id = id_there.n ? id_there : e->id;
        if (answer)
            name_by_ask(m, e->id);
        break;
    case TRACE_FROM_WORKER:
        m->worker_id = e->id;
        if (answer)
            name_by_request(m, worker_find_answered(m->worker, e->id));
        else
            m->client = reader(m->worker, e);
        break;
    case TRACE_TO_CLIENT:
        m->client_id = id_there.n ? id_there : e->id;
        m->worker_id = id_there.n ? e->id : SLICE_NULL;
        if (answer)
            name_by_request(m, request_of(m->client, m->client_id));
        else if (e->kind == ENVELOPE_REQUEST && !m->worker)
            name_by_ask(m, m->client_id); /* once more, see asks_repeat */
        break;
    }
}

static struct slice of_usual_length(struct slice s)
{
    return s.n <= NAME_BYTES ? s : SLICE("\"(too long)\"");
}

static void look(struct sight *m, struct slice line, size_t at, struct slice instead)
{
    struct envelope e;
    const char *why;
    m->bytes = line.n;
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK) {
        m->kind = "unreadable";
        m->payload = line;
        return;
    }
    m->kind = kind_of(&e);
    bool id_differs = e.id.p && instead.n && e.id.p == line.p + at;
    look_closer(m, &e, id_differs ? instead : SLICE_NULL);
    if (e.method.p)
        m->method = e.method;
    if (!m->thread_id.n && e.thread_id.n)
        m->thread_id = e.thread_id;
    if (!m->thread_id.n && e.result.p && e.result.p[0] == '{')
        m->thread_id = json_get_text(e.result, "thread.id");
    m->payload = e.params.p ? e.params : e.error.p ? e.error : e.result;
    m->client_id = of_usual_length(m->client_id);
    m->worker_id = of_usual_length(m->worker_id);
    if (m->method.n > NAME_BYTES)
        m->method = SLICE("(too long)");
    if (m->thread_id.n > NAME_BYTES)
        m->thread_id = SLICE("(too long)");
}

/* A notification as it is being written; `failed` once there was no memory. */
struct page {
    struct outbuf text;
    bool failed;
};

static void put(struct page *p, struct slice bytes)
{
    p->failed = p->failed || outbuf_reserve(&p->text, bytes.n) < 0;
    if (!p->failed)
        outbuf_put(&p->text, bytes);
}

static void put_member(struct page *p, const char *name, struct slice value, bool quoted)
{
    put(p, SLICE(",\""));
    put(p, slice_str(name));
    put(p, quoted ? SLICE("\":\"") : SLICE("\":"));
    put(p, value);
    if (quoted)
        put(p, SLICE("\""));
}

static void put_number(struct page *p, const char *name, unsigned long value)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%lu", value);
    put_member(p, name, (struct slice){digits, (size_t)n}, false);
}

static bool is_plain(char ch)
{
    return (unsigned char)ch >= 0x20 && ch != '"' && ch != '\\';
}

/* Any bytes, as the inside of a JSON string. */
static void put_escaped(struct page *p, struct slice bytes)
{
    char escape[8];
    for (size_t i = 0; i < bytes.n;) {
        size_t from = i;
        while (i < bytes.n && is_plain(bytes.p[i]))
            i++;
        put(p, (struct slice){bytes.p + from, i - from});
        if (i == bytes.n)
            break;
        char ch = bytes.p[i++];
        int n = snprintf(escape, sizeof(escape), ch == '"' || ch == '\\' ? "\\%c" : "\\u%04x",
                         (unsigned char)ch);
        put(p, (struct slice){escape, (size_t)n});
    }
}

static void put_payload(struct page *p, struct slice payload, bool full)
{
    size_t most = full ? FULL_BYTES : SHORT_BYTES;
    struct slice shown = payload;
    if (shown.n > most) {
        shown.n = most;
        /* Not in the middle of a character. */
        while (shown.n && ((unsigned char)shown.p[shown.n] & 0xC0) == 0x80)
            shown.n--;
    }
    put(p, SLICE(",\"payload\":\""));
    put_escaped(p, shown);
    put(p, shown.n < payload.n ? SLICE("…\"") : SLICE("\""));
}

static const char *const way_names[] = {
    [TRACE_FROM_CLIENT] = "client>daemon",
    [TRACE_TO_WORKER] = "daemon>worker",
    [TRACE_FROM_WORKER] = "worker>daemon",
    [TRACE_TO_CLIENT] = "daemon>client",
};

static void write_sight(struct page *p, const struct tracer *t, const struct sight *m)
{
    char when[40];
    log_stamp(when, sizeof(when));
    put(p, SLICE("{\"method\":\"pool/trace\",\"params\":{\"time\":\""));
    put(p, slice_str(when));
    put(p, SLICE("\""));
    put_member(p, "way", slice_str(way_names[m->way]), true);
    put_member(p, "kind", slice_str(m->kind), true);
    if (m->client)
        put_number(p, "client", m->client->id);
    if (m->worker)
        put_number(p, "worker", m->worker->id);
    if (m->client_id.n)
        put_member(p, "clientId", m->client_id, false);
    if (m->worker_id.n)
        put_member(p, "workerId", m->worker_id, false);
    if (m->method.p)
        put_member(p, "method", m->method, true);
    if (m->thread_id.n)
        put_member(p, "threadId", m->thread_id, true);
    put_number(p, "bytes", m->bytes);
    put_payload(p, m->payload, t->full);
    if (t->dropped)
        put_number(p, "dropped", t->dropped);
    put(p, SLICE("}}"));
    /* Ends it for json_clean_text. */
    put(p, (struct slice){"", 1});
}

/* Its room is apart from what a client's own traffic may take. */
static bool has_room(const struct client *c, size_t n)
{
    return outbuf_len(&c->out) + n < TRACER_ROOM;
}

static void tell(struct tracer *t, const struct sight *m)
{
    struct client *c = t->client;
    struct page page = {0};
    if (c->doomed || c->closing)
        return;
    outbuf_init(&page.text);
    /* Looked at first so that one that does not read costs next to nothing. */
    if (has_room(c, SHORT_BYTES))
        write_sight(&page, t, m);
    size_t n = outbuf_len(&page.text);
    if (!n || page.failed || !has_room(c, n) ||
        outbuf_reserve(&c->out, n + WEBSOCKET_HEAD_MAX) < 0) {
        t->dropped++;
    } else {
        char *text = page.text.data + page.text.begin;
        json_clean_text(text);
        t->dropped = 0;
        c->traced_bytes += n;
        client_send(c, (struct slice){text, n - 1});
    }
    outbuf_deinit(&page.text);
}

void trace_tell(struct server *s, enum trace_way way, const struct client *c,
                const struct worker *w, struct slice line, size_t at, struct slice instead)
{
    struct sight m = {.way = way, .client = c, .worker = w};
    if (s->telling_tracers)
        return;
    s->telling_tracers = true;
    if (way == TRACE_TO_CLIENT)
        m.worker = source_of(s, line.p);
    look(&m, line, at, instead);
    bool of_traces = way == TRACE_FROM_CLIENT && slice_is(m.method, "pool/trace");
    list_for_each (it, &s->tracers) {
        struct tracer *t = list_entry(it, struct tracer, in_server);
        if (!of_traces && wants(t, &m))
            tell(t, &m);
    }
    s->telling_tracers = false;
}

/* NULL and true where it is not given or null. */
static bool read_text(const struct envelope *e, const char *name, char **text)
{
    struct slice value = json_get(e->params, name), inside = json_text(value);
    *text = NULL;
    if (!value.n || slice_is(value, "null"))
        return true;
    return inside.p && (*text = slice_dup(inside));
}

/* A number of a client or worker; 0 and true where it is not given or null. */
static bool read_number(const struct envelope *e, const char *name, unsigned *number)
{
    struct slice value = json_get(e->params, name);
    char digits[16] = {0}, *end = digits;
    *number = 0;
    if (!value.n || slice_is(value, "null"))
        return true;
    if (value.n >= sizeof(digits))
        return false;
    memcpy(digits, value.p, value.n);
    unsigned long long n = strtoull(digits, &end, 10);
    if (*digits < '1' || *digits > '9' || *end || n > UINT32_MAX)
        return false;
    *number = (unsigned)n;
    return true;
}

/* What is wrong with the parameters; NULL if nothing is. */
static const char *read_filter(struct tracer *t, const struct envelope *e)
{
    struct slice full = json_get(e->params, "full");
    t->full = slice_is(full, "true");
    if (!read_number(e, "client", &t->client_id) || !read_number(e, "worker", &t->worker_id))
        return "client and worker must be numbers of at least 1.";
    if (!read_text(e, "threadId", &t->thread_id) || !read_text(e, "method", &t->method))
        return "threadId and method must be strings.";
    if (full.n && !t->full && !slice_is(full, "false") && !slice_is(full, "null"))
        return "full must be true or false.";
    return NULL;
}

static char *begin(struct client *c, const struct envelope *e)
{
    if (!c->admin)
        return rpc_error(e->id, RPC_FORBIDDEN,
                         "pool/trace shows what all clients say: only users in adminUids may.",
                         NULL);
    struct tracer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    list_init(&t->in_server);
    t->client = c;
    const char *wrong = read_filter(t, e);
    if (wrong) {
        tracer_free(t);
        return rpc_error(e->id, RPC_INVALID_PARAMS, wrong, NULL);
    }
    trace_end(c);
    c->tracer = t;
    list_append(&c->server->tracers, &t->in_server);
    return rpc_result(e->id, NULL);
}

void trace_request(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    c->server->telling_tracers = true;
    client_send_take(c, begin(c, e));
    c->server->telling_tracers = false;
}
