#include "daemon/park.h"

#include "daemon/asks.h"
#include "daemon/control.h"
#include "daemon/request.h"
#include "daemon/steer.h"
#include "daemon/trace.h"
#include "daemon/websocket.h"
#include "daemon/why.h"
#include "daemon/worker.h"
#include "proto/json.h"

#include <stdio.h>
#include <sys/random.h>

#define TOKEN_BYTES 16
#define TOKEN_DIGITS ((size_t)2 * TOKEN_BYTES)

/* More of them help nobody, and make every status long. */
#define SHOWN 1000
#define THREADS_SHOWN 100

/* For who does not say. */
#define TTL_MS 600000

struct park {
    struct list in_server;
    struct client *client;
    char token[TOKEN_DIGITS + 1];
    uint64_t since, until; /* ms */
    ev_timer ttl;
    bool last_call; /* see time_is_over */
};

static void refuse(struct client *c, const struct envelope *e, int code, const char *message)
{
    client_send_take(c, rpc_error(e->id, code, message, NULL));
}

static void on_ttl(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct park *p = container_of(timer, struct park, ttl);
    struct client *c = p->client;
    (void)revents;
    if (!time_is_over(loop, timer, &p->last_call) || c->doomed)
        return;
    c->server->counters.parked_expired++;
    log_client(c, LOG_INFO, "parked for %llu ms and not attached: aborted",
               (unsigned long long)(now_ms() - p->since));
    client_doom(c, "parked past its ttlMs");
}

static struct park *park_new(struct client *c)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[TOKEN_BYTES];
    struct park *p;
    if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes) ||
        !(p = calloc(1, sizeof(*p))))
        return NULL;
    for (size_t i = 0; i < TOKEN_BYTES; i++) {
        p->token[2 * i] = digits[bytes[i] >> 4];
        p->token[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    list_init(&p->in_server);
    p->client = c;
    p->since = now_ms();
    ev_timer_init(&p->ttl, on_ttl, 0., 0.);
    return p;
}

void park_end(struct client *c)
{
    struct park *p = c->park;
    if (!p)
        return;
    ev_timer_stop(c->server->loop, &p->ttl);
    list_remove(&p->in_server);
    free(p);
    c->park = NULL;
    c->server->n_clients++;
}

void park_check_output(struct client *c)
{
    struct server *s = c->server;
    if (c->doomed || outbuf_len(&c->out) <= (size_t)s->config->max_parked_bytes)
        return;
    s->counters.parked_overflowed++;
    log_client(c, LOG_WARN, "parked and due more than maxParkedBytes (%lld): aborted",
               (long long)s->config->max_parked_bytes);
    client_doom(c, "parked and due too much");
}

static bool has_anything(const struct client *c)
{
    return !list_empty(&c->leases) || !list_empty(&c->threads) || !list_empty(&c->requests) ||
           !list_empty(&c->asks);
}

/* Why no more may be parked; NULL: they may. */
static const char *no_room(const struct client *c)
{
    const struct config *config = c->server->config;
    size_t n = 0, of_uid = 0;
    list_for_each (it, &c->server->parks) {
        n++;
        of_uid += list_entry(it, struct park, in_server)->client->uid == c->uid;
    }
    if (n >= (size_t)config->max_parked_clients)
        return "As many clients as maxParkedClients allows are parked.";
    if (config->max_parked_per_uid && of_uid >= (size_t)config->max_parked_per_uid)
        return "This user has as many clients parked as maxParkedPerUid allows.";
    return NULL;
}

/* How long it is to be kept, at most maxParkedMs; 0: what it says is no time. */
static uint64_t read_ttl(const struct client *c, const struct envelope *e)
{
    uint64_t max = (uint64_t)c->server->config->max_parked_ms, ttl = TTL_MS;
    struct slice text = json_get(e->params, "ttlMs");
    _cleanup_free_ char *digits = text.n ? slice_dup(text) : NULL;
    if (text.n && !slice_is(text, "null")) {
        char *end = NULL;
        double ms = digits ? strtod(digits, &end) : 0;
        if (!digits || end == digits || *end || !(ms >= 1 && ms <= 1e12))
            return 0;
        ttl = (uint64_t)ms;
    }
    return ttl < max ? ttl : max;
}

/* Its connection goes to `rest`, which writes what is left and is closed. */
static void part(struct client *c, struct park *p, struct client *rest, uint64_t ttl_ms)
{
    struct server *s = c->server;
    trace_end(c); /* it is of the connection */
    client_hand_over(c, rest);
    client_close_after_output(rest);
    c->park = p;
    s->n_clients--; /* that of `rest` is the only connection */
    p->until = p->since + ttl_ms;
    list_append(&s->parks, &p->in_server);
    ev_timer_set(&p->ttl, (double)ttl_ms / 1e3, 0.);
    ev_timer_start(s->loop, &p->ttl);
    s->counters.parked++;
    log_client(c, LOG_INFO, "parked for at most %llu ms", (unsigned long long)ttl_ms);
}

void park_detach(struct client *c, struct slice line, const struct envelope *e)
{
    struct server *s = c->server;
    uint64_t ttl_ms = read_ttl(c, e);
    const char *full = no_room(c);
    (void)line;
    if (!ttl_ms) {
        refuse(c, e, RPC_INVALID_PARAMS, "ttlMs must be a number of at least 1.");
        return;
    }
    if (!c->initialized || !has_anything(c)) {
        refuse(c, e, RPC_INVALID_REQUEST,
               c->initialized ? "There is nothing to keep: no open thread and no worker."
                              : "Not initialized");
        return;
    }
    if (s->phase != SERVER_RUNNING) {
        refuse(c, e, RPC_SHUTDOWN, "Worker pool has been shut down.");
        return;
    }
    if (full) {
        s->counters.rejected++;
        refuse(c, e, RPC_QUEUE_FULL, full);
        return;
    }
    struct park *p = park_new(c);
    struct client *rest = p ? client_new_bare(s, c->uid, c->gid, c->pid) : NULL;
    if (!rest) {
        free(p);
        refuse(c, e, RPC_INTERNAL, "Out of memory or randomness for a token.");
        return;
    }
    cJSON *result = rpc_object();
    cJSON_AddStringToObject(result, "token", p->token);
    cJSON_AddNumberToObject(result, "ttlMs", (double)ttl_ms);
    client_send_take(c, rpc_result(e->id, result));
    if (!c->doomed) {
        part(c, p, rest, ttl_ms);
        return;
    }
    free(p);
    client_doom(rest, "out of memory");
}

/* Takes as long for a token that is nearly right. */
static bool same_token(const char *token, struct slice given)
{
    unsigned char differs = 0;
    if (given.n != TOKEN_DIGITS)
        return false;
    for (size_t i = 0; i < TOKEN_DIGITS; i++)
        differs |= (unsigned char)(token[i] ^ given.p[i]);
    return !differs;
}

static struct client *find(const struct client *c, struct slice token)
{
    struct client *found = NULL;
    list_for_each (it, &c->server->parks) {
        const struct park *p = list_entry(it, struct park, in_server);
        if (same_token(p->token, token) && p->client->uid == c->uid && !p->client->doomed)
            found = p->client;
    }
    return found;
}

static void add_threads(cJSON *result, const struct client *c)
{
    cJSON *threads = cJSON_AddArrayToObject(result, "threads");
    cJSON *turns = cJSON_AddArrayToObject(result, "turns");
    list_for_each (it, &c->threads) {
        const struct thread *t = list_entry(it, struct thread, in_client);
        rpc_add(threads, NULL, cJSON_CreateString(t->id));
        if (!t->running)
            continue;
        cJSON *turn = cJSON_CreateObject();
        cJSON_AddStringToObject(turn, "threadId", t->id);
        cJSON_AddStringToObject(turn, "turnId", t->turn_id ? t->turn_id : "");
        rpc_add(turns, NULL, turn);
    }
}

static void add_workers(cJSON *to, const struct client *c)
{
    cJSON *workers = cJSON_AddArrayToObject(to, "workers");
    list_for_each (it, &c->leases)
        rpc_add(workers, NULL,
                cJSON_CreateNumber(list_entry(it, struct worker, lease.in_client)->id));
}

/* The answer to who has attached it. */
static char *describe(const struct client *c, struct slice id)
{
    cJSON *result = rpc_object();
    cJSON_AddNumberToObject(result, "client", c->id);
    add_workers(result, c);
    add_threads(result, c);
    cJSON *requests = cJSON_AddArrayToObject(result, "requests");
    list_for_each (it, &c->requests)
        rpc_add(requests, NULL, cJSON_CreateRaw(list_entry(it, struct request, in_client)->id));
    steer_add_ids(requests, c);
    cJSON_AddNumberToObject(result, "asks", (double)asks_of_client(c, NULL));
    cJSON_AddNumberToObject(result, "missedBytes", (double)outbuf_len(&c->out));
    cJSON_AddNumberToObject(result, "parkedMs", (double)(now_ms() - c->park->since));
    return rpc_result(id, result);
}

static size_t count_lines(const struct outbuf *missed)
{
    const char *at = missed->data + missed->begin, *end = missed->data + missed->end;
    size_t n = 0;
    while (at < end) {
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        n++;
    }
    return n;
}

/* Room for the answer and for all that was missed, with the heads of as many frames. */
static bool reserve(struct client *c, const char *answer, const struct outbuf *missed)
{
    size_t heads = (outbuf_len(missed) ? count_lines(missed) + 1 : 1) * WEBSOCKET_HEAD_MAX;
    return answer && outbuf_reserve(&c->out, strlen(answer) + 1 + outbuf_len(missed) + heads) == 0;
}

static void send_missed(struct client *c, const struct outbuf *missed)
{
    char room[WEBSOCKET_HEAD_MAX];
    const char *at = missed->data, *end;
    if (!outbuf_len(missed))
        return;
    for (at += missed->begin; at < missed->data + missed->end; at = end + 1) {
        end = memchr(at, '\n', (size_t)(missed->data + missed->end - at));
        size_t n = (size_t)(end - at);
        if (c->ws)
            client_put(c, websocket_head(room, WEBSOCKET_TEXT, n), (struct slice){at, n});
        else
            client_put(c, (struct slice){at, n + 1}, SLICE_NULL);
    }
}

/* Whoever is there now knows of no place in the queue. */
static void tell_places_anew(struct client *c)
{
    list_for_each (it, &c->requests)
        list_entry(it, struct request, in_client)->told_position = 0;
    control_positions_changed(c->server);
}

/* The connection of `c` is that of `parked` from now on. */
static void attach(struct client *c, struct client *parked)
{
    struct outbuf missed = parked->out;
    uint64_t ms = now_ms() - parked->park->since;
    outbuf_init(&parked->out);
    park_end(parked);
    client_hand_over(c, parked);
    send_missed(parked, &missed);
    outbuf_deinit(&missed);
    asks_repeat(parked);
    tell_places_anew(parked);
    parked->server->counters.attached++;
    log_client(parked, LOG_INFO, "attached by client %u after %llu ms", c->id,
               (unsigned long long)ms);
    client_doom(c, "its connection is that of the client it has attached");
}

void park_attach(struct client *c, struct slice line, const struct envelope *e)
{
    struct client *parked = find(c, json_get_text(e->params, "token"));
    (void)line;
    if (has_anything(c) || c->tracer || steer_has(c)) {
        refuse(c, e, RPC_INVALID_REQUEST,
               "This connection has something of its own already: attach by a new one.");
        return;
    }
    if (!parked) {
        refuse(c, e, RPC_INVALID_PARAMS,
               "token names nobody who is parked: it is unknown, used or expired.");
        return;
    }
    char *answer = describe(parked, e->id);
    if (!reserve(c, answer, &parked->out)) {
        free(answer);
        refuse(c, e, RPC_INTERNAL, "Out of memory for what was missed.");
        return;
    }
    client_send_take(c, answer);
    if (!c->doomed)
        attach(c, parked);
}

size_t park_count(const struct server *s)
{
    size_t n = 0;
    list_for_each (it, &s->parks)
        n++;
    return n;
}

/* What it waits for, or is at, in words. */
static const char *why(const struct client *c, char *room, size_t n)
{
    const char *method, *leased;
    if (asks_of_client(c, &method)) {
        (void)snprintf(room, n, "waits for an answer to %.*s", EVENT_MAX, method);
        json_clean_text(room);
        return room;
    }
    if (c->n_waiting)
        return "waits in line";
    if (list_empty(&c->leases))
        return list_empty(&c->threads) ? "nothing is left" : "threads are open";
    leased = why_leased(list_first(&c->leases, struct worker, lease.in_client));
    (void)snprintf(room, n, "holds a worker: %s", leased ? leased : "");
    return room;
}

static cJSON *status_of(const struct park *p)
{
    const struct client *c = p->client;
    uint64_t now = now_ms();
    size_t n = 0;
    char room[128];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "client", c->id);
    cJSON_AddNumberToObject(o, "uid", c->uid);
    if (c->name)
        cJSON_AddStringToObject(o, "name", c->name);
    cJSON_AddNumberToObject(o, "parkedMs", (double)(now - p->since));
    cJSON_AddNumberToObject(o, "leftMs", p->until > now ? (double)(p->until - now) : 0);
    cJSON_AddNumberToObject(o, "missedBytes", (double)outbuf_len(&c->out));
    cJSON_AddNumberToObject(o, "asks", (double)asks_of_client(c, NULL));
    cJSON *threads = cJSON_AddArrayToObject(o, "threadIds");
    list_for_each (it, &c->threads)
        if (n++ < THREADS_SHOWN)
            rpc_add(threads, NULL,
                    cJSON_CreateString(list_entry(it, struct thread, in_client)->id));
    add_workers(o, c);
    cJSON_AddStringToObject(o, "why", why(c, room, sizeof(room)));
    return o;
}

cJSON *park_status(const struct server *s)
{
    cJSON *list = cJSON_CreateArray();
    size_t n = 0;
    list_for_each (it, &s->parks)
        if (n++ < SHOWN)
            rpc_add(list, NULL, status_of(list_entry(it, struct park, in_server)));
    return list;
}
