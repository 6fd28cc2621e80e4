#include "daemon/request.h"

#include "daemon/client.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/router.h"
#include "daemon/settings.h"
#include "daemon/worker.h"
#include "proto/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct request_timer {
    ev_timer timer;
    struct request *request;
    bool last_call; /* see time_is_over */
};

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct request_timer *t = container_of(timer, struct request_timer, timer);
    struct request *r = t->request;
    (void)revents;
    if (r->state == REQUEST_QUEUED && !time_is_over(loop, timer, &t->last_call))
        return;
    if (r->state == REQUEST_QUEUED)
        pool_timed_out(r);
    else if (r->retry)
        router_retry(r);
}

/* With room for so many bytes of texts. */
static struct request *new_request(struct server *s, size_t texts)
{
    struct request *r = calloc(1, sizeof(*r) + texts);
    if (!r)
        return NULL;
    r->server = s;
    r->arrived_at = now_ms();
    list_init(&r->in_client);
    list_init(&r->node);
    list_init(&r->followers);
    waiter_init(&r->waiter);
    return r;
}

/* A method's name that is longer is none that anybody knows. */
#define NAME_MAX_BYTES 256

static size_t text_size(struct slice text)
{
    return text.n ? text.n + 1 : 0;
}

/* Moves on behind it. NULL where there is none. */
static const char *keep_text(char **to, struct slice text)
{
    const char *kept = *to;
    if (!text.n)
        return NULL;
    *to = (char *)mempcpy(*to, text.p, text.n) + 1;
    return kept;
}

struct request *request_new(struct client *c, struct slice line, const struct envelope *e)
{
    const struct method *method = method_find(e->method);
    struct slice name = e->method, thread_id = e->thread_id, key = SLICE_NULL;
    if (name.n > NAME_MAX_BYTES)
        name.n = NAME_MAX_BYTES;
    if (method->flags & METHOD_EXEC)
        key = json_get_text(e->params, "processId");
    struct request *r = new_request(c->server, text_size(e->id) + text_size(name) +
                                                   text_size(thread_id) + text_size(key));
    if (!r)
        return NULL;
    char *texts = r->texts;
    r->client = c;
    r->method = method;
    r->line = line;
    r->id_at = (uint32_t)(e->id.p - line.p);
    r->id_len = (uint32_t)e->id.n;
    r->id = keep_text(&texts, e->id);
    r->name = name.n ? keep_text(&texts, name) : "";
    r->thread_id = keep_text(&texts, thread_id);
    r->key = keep_text(&texts, key);
    list_append(&c->requests, &r->in_client);
    return r;
}

struct request *request_new_internal(struct server *s, char *line, const char *method,
                                     request_done *done, void *arg)
{
    static const char prefix[] = "{\"id\":";
    struct request *r = new_request(s, 0);
    if (!r) {
        free(line);
        return NULL;
    }
    r->method = method_find(slice_str(method));
    r->name = r->method->name;
    r->owned_line = line;
    r->line = slice_str(line);
    r->id_at = sizeof(prefix) - 1;
    r->id_len = 1;
    r->done = done;
    r->arg = arg;
    return r;
}

/* What it counts for while it waits: a small one is not free either. */
static size_t cost(const struct request *r)
{
    return r->line.n + 4096;
}

struct block *request_block(const struct request *r)
{
    if (r->block || r->owned_line || !r->client)
        return r->block;
    return linebuf_block(&r->client->in, r->line);
}

bool request_keep(struct request *r)
{
    if (r->owned_line || r->block)
        return true;
    if (r->client && !client_hold(r->client, cost(r))) {
        r->server->counters.rejected++;
        request_fail(r, RPC_QUEUE_FULL, "Server overloaded; retry later.");
        return false;
    }
    r->held = r->client != NULL;
    struct block *block = request_block(r);
    if (block) {
        r->block = block_hold(block);
        return true;
    }
    r->owned_line = slice_dup(r->line);
    if (!r->owned_line) {
        request_fail(r, RPC_INTERNAL, "Out of memory for a request of %zu bytes.", r->line.n);
        return false;
    }
    r->line.p = r->owned_line;
    return true;
}

void request_unhold(struct request *r)
{
    if (r->held)
        client_unhold(r->client, cost(r));
    r->held = false;
}

void request_drop_line(struct request *r)
{
    request_unhold(r);
    free(r->owned_line);
    r->owned_line = NULL;
    r->block = block_drop(r->block);
}

bool request_park(struct request *r, enum request_state state, struct list *list)
{
    assert(r->state == REQUEST_NEW && list_empty(&r->node));
    if (!request_keep(r))
        return false;
    r->state = state;
    list_append(list, &r->node);
    if (state == REQUEST_UNSENT && r->client)
        client_add_unsent(r->client, cost(r));
    return true;
}

bool request_start_timer(struct request *r, uint64_t ms)
{
    struct request_timer *t = calloc(1, sizeof(*t));
    assert(!r->timer);
    if (!t) {
        request_fail(r, RPC_INTERNAL, "Out of memory for a request of %zu bytes.", r->line.n);
        return false;
    }
    t->request = r;
    ev_timer_init(&t->timer, on_timeout, (double)ms / 1e3, 0.);
    ev_timer_start(r->server->loop, &t->timer);
    r->timer = t;
    return true;
}

static void stop_timer(struct request *r)
{
    if (!r->timer)
        return;
    ev_timer_stop(r->server->loop, &r->timer->timer);
    free(r->timer);
    r->timer = NULL;
}

void request_unpark(struct request *r)
{
    list_remove(&r->node);
    if (r->state == REQUEST_QUEUED)
        pool_dequeue(r);
    if (r->state == REQUEST_UNSENT && r->client)
        client_drop_unsent(r->client, cost(r));
    stop_timer(r);
    r->retry = false;
    r->state = REQUEST_NEW;
}

void request_free(struct request *r)
{
    struct list followers;
    if (r->state == REQUEST_SENT)
        worker_forget(r->worker, r);
    else
        request_unpark(r);
    pool_unlease_request(r);
    list_init(&followers);
    list_splice(&followers, &r->followers);
    request_drop_line(r);
    list_remove(&r->in_client);
    if (r->method->flags & METHOD_RESUME)
        ownership_not_opened(r);
    settings_free(r->settings);
    free(r);
    router_route_all(&followers);
}

void request_answer(struct request *r, char *line)
{
    if (r->client)
        client_send_take(r->client, line);
    else
        free(line);
    request_free(r);
}

static void format_message(char *to, size_t n, const char *format, va_list args)
{
    (void)vsnprintf(to, n, format, args);
}

void request_fail(struct request *r, int code, const char *format, ...)
{
    char message[4608];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), format, args);
    va_end(args);
    if (r->done)
        r->done(r->worker, NULL, r->arg);
    /* It may try again. */
    if (r->client && r->method->class == METHOD_INITIALIZE)
        r->client->initialized = false;
    request_answer(r, r->client ? rpc_error(slice_str(r->id), code, message, NULL) : NULL);
}

void request_refuse(struct request *r, int code, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), format, args);
    va_end(args);
    request_answer(r, r->client ? rpc_refusal(slice_str(r->id), code, message) : NULL);
}

void request_orphan(struct request *r)
{
    request_drop_line(r);
    list_remove(&r->in_client);
    r->client = NULL;
}

bool request_names(const struct request *r, const char *id)
{
    return r->thread_id && strcmp(r->thread_id, id) == 0;
}
