#include "daemon/control.h"

#include "daemon/admin.h"
#include "daemon/crew.h"
#include "daemon/locks.h"
#include "daemon/park.h"
#include "daemon/pool.h"
#include "daemon/status.h"
#include "daemon/trace.h"
#include "proto/json.h"

#include <inttypes.h>
#include <stdio.h>

/* Places in the queue are told anew at most this often. */
#define POSITIONS_S 0.2
/* Bytes of an answer about very many. */
#define TRIM_WORTH ((size_t)256 * 1024)

static void refuse(struct client *c, const struct envelope *e, int code, const char *message)
{
    client_send_take(c, rpc_error(e->id, code, message, NULL));
}

static void answer(struct client *c, const struct envelope *e, cJSON *result)
{
    char *line = rpc_result(e->id, result);
    /* The tree has taken many times that, in small blocks. */
    if (line && strlen(line) >= TRIM_WORTH)
        server_trim_later(c->server);
    client_send_take(c, line);
}

static void on_ping(struct client *c, struct slice line, const struct envelope *e)
{
    cJSON *result = rpc_object();
    (void)line;
    cJSON_AddStringToObject(result, "version", CP_VERSION);
    cJSON_AddNumberToObject(result, "pid", (double)getpid());
    cJSON_AddNumberToObject(result, "uptimeMs", (double)(now_ms() - c->server->started_at));
    answer(c, e, result);
}

static void on_status(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    answer(c, e, status_build(c->server));
}

static void on_locks(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    answer(c, e, locks_build(c->server));
}

static void on_acquire(struct client *c, struct slice line, const struct envelope *e)
{
    struct slice timeout = json_get(e->params, "timeoutMs");
    _cleanup_free_ char *digits = timeout.n ? slice_dup(timeout) : NULL;
    char *end = NULL;
    double ms = digits ? strtod(digits, &end) : 0;
    if (digits && strcmp(digits, "null") != 0 && (end == digits || *end || ms < 1 || ms > 1e12)) {
        refuse(c, e, RPC_INVALID_PARAMS, "timeoutMs must be a number of at least 1.");
        return;
    }
    struct slice thread_id = json_get(e->params, "threadId");
    if (thread_id.n && !slice_is(thread_id, "null") && !json_text(thread_id).p) {
        refuse(c, e, RPC_INVALID_PARAMS, "threadId must be a string.");
        return;
    }
    struct request *r = request_new(c, line, e);
    if (!r) {
        refuse(c, e, RPC_INTERNAL, "Out of memory for a request.");
        return;
    }
    r->acquire = true;
    r->timeout_ms = (uint64_t)ms;
    struct thread *t = r->thread_id ? threads_find(&c->server->threads, e->thread_id) : NULL;
    pool_request(r, t ? t->owner : NULL);
}

static void on_release(struct client *c, struct slice line, const struct envelope *e)
{
    (void)line;
    answer(c, e, NULL);
    /* All of them first: one that is given back may come to the same client at once. */
    list_for_each (it, &c->leases) {
        struct lease *l = &list_entry(it, struct worker, lease.in_client)->lease;
        if (l->acquired)
            l->opened_at = 0; /* it has said that no turn is to come */
        l->acquired = false;
    }
    pool_settle_all(c->server);
}

static void on_cancel(struct client *c, struct slice line, const struct envelope *e)
{
    struct slice id = json_get(e->params, "id"), whose = json_get(e->params, "client");
    const struct client *of = c;
    struct request *found = NULL;
    (void)line;
    if (whose.n && !slice_is(whose, "null")) {
        of = admin_find_client(c->server, whose);
        if (of != c && !c->admin) {
            refuse(c, e, RPC_FORBIDDEN, "Requests of other clients: only users in adminUids may.");
            return;
        }
        if (!of) {
            refuse(c, e, RPC_INVALID_PARAMS,
                   "client must be the number of a client that is connected.");
            return;
        }
    }
    list_for_each (it, &of->requests) {
        struct request *r = list_entry(it, struct request, in_client);
        /* Also one that waits for what is in the queue itself. */
        bool waits = r->state == REQUEST_QUEUED || r->state == REQUEST_BLOCKED;
        if (!found && waits && slice_is(id, r->id))
            found = r;
    }
    if (found)
        pool_cancel(found, of != c);
    cJSON *result = rpc_object();
    cJSON_AddBoolToObject(result, "cancelled", found != NULL);
    answer(c, e, result);
}

struct events {
    bool queue, moves, unknown;
};

static void read_event(struct slice element, void *arg)
{
    struct events *events = arg;
    if (slice_is(json_text(element), "queue"))
        events->queue = true;
    else if (slice_is(json_text(element), "moves"))
        events->moves = true;
    else
        events->unknown = true;
}

static void on_subscribe(struct client *c, struct slice line, const struct envelope *e)
{
    struct slice list = json_get(e->params, "events");
    struct events events = {0};
    (void)line;
    if (list.n)
        json_each(list, read_event, &events);
    if (!list.n || list.p[0] != '[' || events.unknown) {
        refuse(c, e, RPC_INVALID_PARAMS, "events must be an array of: \"queue\", \"moves\".");
        return;
    }
    c->wants_queue_events = events.queue;
    c->wants_moves = events.moves;
    answer(c, e, NULL);
}

static const struct {
    const char *name;
    void (*handle)(struct client *c, struct slice line, const struct envelope *e);
    bool admin;
} own_methods[] = {
    {"pool/ping", on_ping, false},
    {"pool/status", on_status, false},
    {"pool/acquire", on_acquire, false},
    {"pool/release", on_release, false},
    {"pool/cancel", on_cancel, false},
    {"pool/subscribe", on_subscribe, false},
    {"pool/resize", admin_resize, true},
    {"pool/recycle", admin_recycle, true},
    {"pool/pause", admin_pause, true},
    {"pool/resume", admin_resume, true},
    {"pool/drain", admin_drain, true},
    {"pool/interrupt", admin_interrupt, true},
    {"pool/kick", admin_kick, true},
    {"pool/reload", admin_reload, true},
    {"pool/logLevel", admin_log_level, true},
    {"pool/trace", trace_request, false},
    {"pool/locks", on_locks, false},
    {"pool/detach", park_detach, false},
    {"pool/attach", park_attach, false},
};

static void refuse_method(struct client *c, const struct envelope *e, int code, const char *format)
{
    char message[256];
    int shown = (int)(e->method.n < 128 ? e->method.n : 128);
    (void)snprintf(message, sizeof(message), format, shown, e->method.p);
    refuse(c, e, code, message);
}

void control_request(struct client *c, struct slice line, const struct envelope *e)
{
    const struct server *s = c->server;
    size_t i = 0;
    while (i < ARRAY_LEN(own_methods) && !slice_is(e->method, own_methods[i].name))
        i++;
    if (config_denies(s->config, e->method))
        refuse_method(c, e, RPC_FORBIDDEN, "%.*s is refused here: it is in denyMethods.");
    else if (i == ARRAY_LEN(own_methods))
        refuse_method(c, e, RPC_METHOD_NOT_FOUND, "Unknown method: %.*s");
    else if (own_methods[i].admin && !c->admin)
        refuse_method(c, e, RPC_FORBIDDEN, "%.*s steers the pool: only users in adminUids may.");
    else if (own_methods[i].admin && s->phase != SERVER_RUNNING)
        refuse(c, e, RPC_SHUTDOWN, "Worker pool has been shut down.");
    else
        own_methods[i].handle(c, line, e);
}

/* Codex takes names that are valid values of an HTTP header. */
static bool header_value(const char *name)
{
    for (; *name; name++)
        if (((unsigned char)*name < 0x20 && *name != '\t') || *name == 0x7f)
            return false;
    return true;
}

/* Of an initialize, far more than any client has to say. */
#define INITIALIZE_MAX_BYTES ((size_t)64 * 1024)
#define OPT_OUTS_MAX 1024
/* Everybody sees it in the status. */
#define NAME_MAX_BYTES 128

static bool keep_name(struct client *c, const char *name)
{
    free(c->name);
    c->name = strndup(name, NAME_MAX_BYTES);
    if (c->name)
        json_clean_text(c->name);
    return c->name;
}

static bool keep_opt_outs(struct client *c, const cJSON *list)
{
    const cJSON *each;
    size_t n = 0;
    strings_free(c->opted_out);
    c->opted_out = NULL;
    if (!cJSON_IsArray(list))
        return true;
    c->opted_out = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*c->opted_out));
    if (!c->opted_out)
        return false;
    cJSON_ArrayForEach(each, list)
    {
        if (cJSON_IsString(each) && !(c->opted_out[n++] = strdup(each->valuestring)))
            return false;
    }
    return true;
}

/* What is wrong with an initialize, NULL if nothing is. */
static const char *take_initialize(struct client *c, const cJSON *params, char *room, size_t n)
{
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(params, "clientInfo");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(info, "name");
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(info, "version");
    const cJSON *capabilities = cJSON_GetObjectItemCaseSensitive(params, "capabilities");
    const cJSON *opt_outs =
        cJSON_GetObjectItemCaseSensitive(capabilities, "optOutNotificationMethods");
    if (!cJSON_IsObject(info))
        return "Invalid request: missing field `clientInfo`";
    if (!cJSON_IsString(name))
        return "Invalid request: missing field `name`";
    if (!cJSON_IsString(version))
        return "Invalid request: missing field `version`";
    if (!header_value(name->valuestring)) {
        (void)snprintf(room, n, "Invalid clientInfo.name: '%s'. Must be a valid HTTP header value.",
                       name->valuestring);
        return room;
    }
    if (cJSON_GetArraySize(opt_outs) > OPT_OUTS_MAX)
        return "Invalid request: too many optOutNotificationMethods";
    return keep_name(c, name->valuestring) && keep_opt_outs(c, opt_outs) ? NULL : "Out of memory";
}

bool control_initialize(struct client *c, const struct envelope *e)
{
    char room[512];
    const char *wrong = "Already initialized";
    if (!c->initialized && e->params.n > INITIALIZE_MAX_BYTES) {
        wrong = "Invalid request: initialize is too long";
    } else if (!c->initialized) {
        _cleanup_free_ char *text = slice_dup(e->params);
        cJSON *params = text ? cJSON_Parse(text) : NULL;
        bool read = params || !e->params.n;
        wrong = read ? take_initialize(c, params, room, sizeof(room)) : "Out of memory";
        cJSON_Delete(params);
    }
    if (wrong) {
        client_send_take(c, rpc_refusal(e->id, RPC_INVALID_REQUEST, wrong));
        return false;
    }
    c->initialized = true;
    log_client(c, LOG_DEBUG, "initialized as %s", c->name);
    return true;
}

static void answer_initialize(struct request *r)
{
    struct server *s = r->server;
    if (s->initialize_result)
        request_answer(r, rpc_result_raw(slice_str(r->id), slice_str(s->initialize_result)));
    else if (s->phase != SERVER_RUNNING)
        request_fail(r, RPC_SHUTDOWN, "Worker pool has been shut down.");
    else if (crew_hopeless(s))
        request_fail(r, RPC_WORKER_START, "%s", s->start_failure ? s->start_failure : "");
    else if (request_park(r, REQUEST_BLOCKED, &s->unready))
        crew_start_workers(s);
}

/* As Codex answers it for a process of the client's own. */
static void answer_loaded(struct request *r)
{
    cJSON *result = rpc_object();
    cJSON *data = cJSON_AddArrayToObject(result, "data");
    list_for_each (it, &r->client->threads)
        rpc_add(data, NULL, cJSON_CreateString(list_entry(it, struct thread, in_client)->id));
    cJSON_AddNullToObject(result, "nextCursor");
    request_answer(r, rpc_result(slice_str(r->id), result));
}

void control_answer(struct request *r)
{
    if (r->method->class == METHOD_INITIALIZE)
        answer_initialize(r);
    else
        answer_loaded(r);
}

void control_answer_acquired(struct request *r, struct worker *w, uint64_t waited_ms)
{
    request_answer(r,
                   rpc_result_format(slice_str(r->id), "{\"worker\":%u,\"waitedMs\":%" PRIu64 "}",
                                     w->id, waited_ms));
}

static void tell_position(struct request *r, size_t position)
{
    r->told_position = position;
    client_send_take(r->client, rpc_notification_format(
                                    "pool/queued", "{\"id\":%s,\"position\":%zu,\"length\":%zu}",
                                    r->id, position, r->server->queue.length));
}

void control_tell_queued(struct request *r)
{
    if (r->client->wants_queue_events)
        tell_position(r, queue_position(&r->server->queue, &r->waiter));
}

void control_tell_assigned(struct request *r, struct worker *w, uint64_t waited_ms)
{
    if (!r->client->wants_queue_events)
        return;
    client_send_take(r->client,
                     rpc_notification_format("pool/assigned",
                                             "{\"id\":%s,\"worker\":%u,\"waitedMs\":%" PRIu64 "}",
                                             r->id, w->id, waited_ms));
}

void control_tell_moved(const struct thread *t, const struct worker *from, const struct worker *to,
                        uint64_t ms)
{
    const struct client *holder = to->lease.holder, *subscriber = t->subscriber;
    list_for_each (it, &to->server->clients) {
        struct client *c = list_entry(it, struct client, in_clients);
        bool concerned = c == holder || c == subscriber;
        bool users = c->admin || (holder && holder->uid == c->uid);
        if (c->doomed || (c->park && !concerned) ||
            !((c->wants_queue_events && concerned) || (c->wants_moves && users)))
            continue;
        client_send_take(c, rpc_notification_format(
                                "pool/moved",
                                "{\"threadId\":\"%s\",\"from\":%u,\"to\":%u,\"ms\":%" PRIu64 "}",
                                t->id, from->id, to->id, ms));
    }
}

static void on_positions(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct server *s = container_of(timer, struct server, position_timer);
    size_t position = 0;
    bool untold = false;
    (void)loop;
    (void)revents;
    list_for_each (it, &s->queue.all) {
        struct waiter *w = list_entry(it, struct waiter, in_all);
        struct request *r = container_of(w, struct request, waiter);
        position++;
        if (!r->client->wants_queue_events || r->client->doomed || r->client->park ||
            r->told_position == position)
            continue;
        if (client_backlogged(r->client))
            untold = true; /* it reads first what it has been told before */
        else
            tell_position(r, position);
    }
    if (untold)
        control_positions_changed(s);
}

void control_positions_changed(struct server *s)
{
    if (s->queue.length && !ev_is_active(&s->position_timer)) {
        ev_timer_set(&s->position_timer, POSITIONS_S, 0.);
        ev_timer_start(s->loop, &s->position_timer);
    }
}

void control_init(struct server *s)
{
    ev_timer_init(&s->position_timer, on_positions, POSITIONS_S, 0.);
}
