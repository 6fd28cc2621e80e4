#include "daemon/loss.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/request.h"
#include "daemon/router.h"

#include <stdio.h>

static void notify(const struct thread *t, const char *method, cJSON *params)
{
    client_send_take(t->subscriber, rpc_notification(method, params));
}

static bool wants(const struct thread *t, const char *method)
{
    return !client_opted_out(t->subscriber, slice_str(method));
}

static cJSON *about(const struct thread *t)
{
    cJSON *params = rpc_object();
    cJSON_AddStringToObject(params, "threadId", t->id);
    return params;
}

static void add_error(cJSON *to, const char *message)
{
    cJSON *error = cJSON_AddObjectToObject(to, "error");
    cJSON_AddStringToObject(error, "message", message);
    cJSON_AddNullToObject(error, "codexErrorInfo");
    cJSON_AddNullToObject(error, "additionalDetails");
}

/* The shape of Codex's own `error` and `turn/completed` for a failed turn (0.169). */
static void fail_turn(const struct thread *t, const char *message)
{
    const char *turn_id = t->turn_id ? t->turn_id : "";
    if (wants(t, "error")) {
        cJSON *params = about(t);
        cJSON_AddStringToObject(params, "turnId", turn_id);
        cJSON_AddBoolToObject(params, "willRetry", false);
        add_error(params, message);
        notify(t, "error", params);
    }
    if (wants(t, "turn/completed")) {
        cJSON *params = about(t);
        cJSON *turn = cJSON_AddObjectToObject(params, "turn");
        cJSON_AddStringToObject(turn, "id", turn_id);
        cJSON_AddArrayToObject(turn, "items");
        cJSON_AddStringToObject(turn, "status", "failed");
        add_error(turn, message);
        notify(t, "turn/completed", params);
    }
}

void loss_close_thread(const struct thread *t)
{
    if (wants(t, "thread/status/changed")) {
        cJSON *params = about(t);
        cJSON *status = cJSON_AddObjectToObject(params, "status");
        cJSON_AddStringToObject(status, "type", "notLoaded");
        notify(t, "thread/status/changed", params);
    }
    if (wants(t, "thread/closed"))
        notify(t, "thread/closed", about(t));
}

static void end_turns(struct worker *w, const char *message)
{
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        if (t->subscriber && t->turn_open)
            fail_turn(t, message);
    }
}

static void fail_requests(struct worker *w, const char *message)
{
    struct request *r;
    for (size_t i = 0; i < WORKER_SLOTS; i++)
        if (w->slots[i])
            request_fail(w->slots[i], RPC_WORKER_LOST, "%s", message);
    while ((r = backlog_first(&w->unsent)))
        request_fail(r, RPC_WORKER_LOST, "%s", message);
}

static void end_threads(struct worker *w)
{
    struct thread *t;
    while ((t = list_first(&w->threads, struct thread, in_owner))) {
        if (t->subscriber)
            loss_close_thread(t);
        ownership_end(t);
    }
}

void loss_tell(struct worker *w, const char *how)
{
    struct list again;
    _cleanup_free_ char *message = NULL;
    if (asprintf(&message, "Worker exited (%s)", how) < 0)
        message = NULL;
    const char *text = message ? message : "Worker exited";
    /* What it had not been sent yet starts over, when all else is told. */
    list_init(&again);
    list_splice(&again, &w->preparing);
    list_for_each (it, &again)
        pool_unlease_request(list_entry(it, struct request, node));
    move_worker_lost(w);
    end_turns(w, text);
    asks_end(w);
    fail_requests(w, text);
    pool_end_lease(w);
    end_threads(w);
    router_route_all(&again);
}
