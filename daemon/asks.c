#include "daemon/asks.h"

#include "daemon/closed.h"
#include "daemon/request.h"
#include "daemon/stay.h"
#include "proto/decimal.h"
#include "proto/json.h"
#include "proto/rpc.h"

struct ask {
    struct list in_client, in_worker;
    struct client *client;
    struct worker *worker;
    char *raw_id; /* the worker's, as JSON */
    char *thread_id, *method;
    char *line; /* as it came, for one who has missed it */
    size_t line_len, id_at;
    int64_t id;  /* the client's */
    bool missed; /* is in what a parked client is due */
    bool answered;
    bool resolves; /* Codex will say serverRequest/resolved */
};

static void ask_free(struct ask *a)
{
    list_remove(&a->in_client);
    list_remove(&a->in_worker);
    free(a->raw_id);
    free(a->thread_id);
    free(a->method);
    free(a->line);
    free(a);
}

static struct ask *find_raw(const struct worker *w, struct slice raw_id)
{
    list_for_each (it, &w->asks) {
        struct ask *a = list_entry(it, struct ask, in_worker);
        if (slice_is(raw_id, a->raw_id))
            return a;
    }
    return NULL;
}

static struct ask *ask_new(struct worker *w, struct client *c, const struct envelope *e,
                           struct slice line)
{
    struct ask *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    list_init(&a->in_client);
    list_init(&a->in_worker);
    a->client = c;
    a->worker = w;
    a->raw_id = slice_dup(e->id);
    a->thread_id = slice_dup(e->thread_id);
    a->method = slice_dup(e->method);
    a->line = slice_dup(line);
    a->line_len = line.n;
    a->id_at = (size_t)(e->id.p - line.p);
    if (!a->raw_id || !a->thread_id || !a->method || !a->line) {
        ask_free(a);
        return NULL;
    }
    a->id = c->last_ask_id++;
    a->resolves = !slice_is(e->method, "item/tool/call");
    list_append(&c->asks, &a->in_client);
    list_append(&w->asks, &a->in_worker);
    return a;
}

static void decline(struct worker *w, struct slice id, const char *why)
{
    _cleanup_free_ char *line = rpc_refusal(id, RPC_METHOD_NOT_FOUND, why);
    /* It would wait for ever. */
    if (!line || worker_send_line(w, slice_str(line)) < 0)
        worker_fail(w, "out of memory for an answer to it");
}

/* It has left this worker: closed, or moved to another. */
static bool is_gone(const struct worker *w, const struct thread *t, struct slice thread_id)
{
    return t ? t->owner != w : thread_id.n && closed_has(w->closed, thread_id);
}

/* The holder of the lease, unless the thread is somebody else's; a sub-agent's is its parent's.
 * Whoever has the thread keeps it until the holder's rejoin is answered. */
static struct client *who_answers(const struct worker *w, const struct thread *t)
{
    struct client *c = w->lease.holder;
    while (t && t->parent)
        t = t->parent;
    if (!t || t->subscriber == c)
        return c;
    if (!t->opening || t->opening->client != c)
        return NULL;
    return t->subscriber ? t->subscriber : c;
}

static void send_ask(struct ask *a, struct slice line, size_t id_at)
{
    char id[DECIMAL_MAX];
    size_t n = decimal_write((uint64_t)a->id, id);
    a->missed = a->client->park;
    client_send_spliced(
        a->client,
        &(struct splice){.line = line, .at = id_at, .len = strlen(a->raw_id), .instead = {id, n}});
}

void asks_from_worker(struct worker *w, const struct envelope *e, struct slice line)
{
    struct thread *t = threads_find(&w->server->threads, e->thread_id);
    struct client *c = is_gone(w, t, e->thread_id) ? NULL : who_answers(w, t);
    /* While a client's turns are being ended nobody is left to answer, and nobody needs to. */
    if (w->state == WORKER_ABORTING || w->state == WORKER_STOPPING || (t && t->evicting))
        return;
    if (!c) {
        w->server->counters.dropped_messages++;
        decline(w, e->id, "no client is there to answer");
        return;
    }
    struct ask *a = find_raw(w, e->id);
    /* Codex repeats an open request when its thread is resumed where it is loaded. */
    if (a && (a->client != c || a->answered)) {
        ask_free(a);
        a = NULL;
    }
    if (!a && !(a = ask_new(w, c, e, line))) {
        decline(w, e->id, "out of memory");
        return;
    }
    send_ask(a, line, (size_t)(e->id.p - line.p));
}

void asks_repeat(struct client *c)
{
    list_for_each (it, &c->asks) {
        struct ask *a = list_entry(it, struct ask, in_client);
        if (!a->answered && !a->missed)
            send_ask(a, (struct slice){a->line, a->line_len}, a->id_at);
        a->missed = false;
    }
}

size_t asks_of_client(const struct client *c, const char **first)
{
    size_t n = 0;
    if (first)
        *first = NULL;
    list_for_each (it, &c->asks) {
        const struct ask *a = list_entry(it, struct ask, in_client);
        if (a->answered)
            continue;
        if (first && n == 0)
            *first = a->method;
        n++;
    }
    return n;
}

/* Codex remembers it until the thread is unloaded, and would ask again elsewhere (measured on
 * 0.169: acceptForSession and the scope "session"; a plain accept, and one that amends the rules,
 * which are a file, leave nothing). */
static bool remembered(struct slice result)
{
    static const char *const leave_nothing[] = {"accept", "decline", "cancel"};
    struct slice decision = json_get(result, "decision");
    if (slice_is(json_get_text(result, "scope"), "session"))
        return true;
    if (!decision.n || json_get(decision, "acceptWithExecpolicyAmendment").n)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(leave_nothing); i++)
        if (slice_is(json_text(decision), leave_nothing[i]))
            return false;
    return true;
}

/* One that is still to be answered; NULL for none. */
static struct ask *find_open(const struct client *c, struct slice raw)
{
    int64_t id;
    if (!decimal_read(raw, &id))
        return NULL;
    list_for_each (it, &c->asks) {
        struct ask *a = list_entry(it, struct ask, in_client);
        if (a->id == id && !a->answered)
            return a;
    }
    return NULL;
}

bool asks_look(const struct client *c, struct slice id, struct ask_view *view)
{
    const struct ask *a = find_open(c, id);
    if (a)
        *view = (struct ask_view){a->worker, a->method, a->thread_id, a->raw_id};
    return a;
}

void asks_answer(struct client *c, const struct envelope *e, struct slice line)
{
    struct ask *a = find_open(c, e->id);
    if (!a) {
        int64_t id;
        /* Another kind of id no client has been given. */
        c->server->counters.dropped_messages += decimal_read(e->id, &id);
        return;
    }
    struct splice answer = {line, (size_t)(e->id.p - line.p), e->id.n, slice_str(a->raw_id),
                            linebuf_block(&c->in, line)};
    if (worker_send_spliced(a->worker, c, &answer) < 0) {
        client_doom(c, "out of memory for its answer");
        return;
    }
    struct thread *t = threads_find(&c->server->threads, slice_str(a->thread_id));
    if (t && e->result.p && remembered(e->result))
        t->keeps |= 1U << STAY_APPROVALS;
    a->answered = true;
    free(a->line);
    a->line = NULL;
    if (!a->resolves)
        ask_free(a);
}

void asks_resolved(struct worker *w, struct client *c, const struct envelope *e, struct slice line)
{
    struct slice raw_id = json_get(e->params, "requestId");
    struct ask *a = raw_id.n ? find_raw(w, raw_id) : NULL;
    char id[DECIMAL_MAX];
    bool wanted = !client_opted_out(c, e->method);
    if (!a || a->client != c) {
        if (wanted)
            client_send(c, line);
        return;
    }
    size_t n = decimal_write((uint64_t)a->id, id);
    if (wanted)
        client_send_spliced(c, &(struct splice){.line = line,
                                                .at = (size_t)(raw_id.p - line.p),
                                                .len = raw_id.n,
                                                .instead = {id, n}});
    ask_free(a);
}

size_t asks_open(const struct worker *w)
{
    size_t n = 0;
    list_for_each (it, &w->asks)
        n += !list_entry(it, struct ask, in_worker)->answered;
    return n;
}

bool asks_of_thread(const struct worker *w, const char *thread_id)
{
    list_for_each (it, &w->asks)
        if (strcmp(list_entry(it, struct ask, in_worker)->thread_id, thread_id) == 0)
            return true;
    return false;
}

void asks_forget_answered(struct worker *w)
{
    list_for_each_safe (it, &w->asks) {
        struct ask *a = list_entry(it, struct ask, in_worker);
        if (a->answered)
            ask_free(a);
    }
}

/* An interrupt ends a tool call without a word; the others are resolved in a moment. */
void asks_turn_over(struct worker *w, const char *thread_id)
{
    list_for_each_safe (it, &w->asks) {
        struct ask *a = list_entry(it, struct ask, in_worker);
        if (!a->resolves && strcmp(a->thread_id, thread_id) == 0)
            ask_free(a);
    }
}

void asks_forget_client(struct client *c)
{
    list_for_each_safe (it, &c->asks)
        ask_free(list_entry(it, struct ask, in_client));
}

void asks_end(struct worker *w)
{
    list_for_each_safe (it, &w->asks) {
        struct ask *a = list_entry(it, struct ask, in_worker);
        if (a->resolves && *a->thread_id &&
            !client_opted_out(a->client, SLICE("serverRequest/resolved"))) {
            cJSON *params = rpc_object();
            cJSON_AddStringToObject(params, "threadId", a->thread_id);
            cJSON_AddNumberToObject(params, "requestId", (double)a->id);
            client_send_take(a->client, rpc_notification("serverRequest/resolved", params));
        }
        ask_free(a);
    }
}
