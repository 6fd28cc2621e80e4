#include "daemon/loss.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/request.h"
#include "daemon/router.h"

#include <stdio.h>

static void notify(struct client *c, const char *method, cJSON *params)
{
    if (client_opted_out(c, slice_str(method)))
        cJSON_Delete(params);
    else
        client_send_take(c, rpc_notification(method, params));
}

static cJSON *turn_error(const char *message)
{
    cJSON *error = cJSON_CreateObject();
    cJSON_AddStringToObject(error, "message", message);
    cJSON_AddNullToObject(error, "codexErrorInfo");
    cJSON_AddNullToObject(error, "additionalDetails");
    return error;
}

/* The shape of Codex's own `error` and `turn/completed` for a failed turn (0.169). */
static void fail_turn(struct thread *t, const char *message)
{
    cJSON *error = cJSON_CreateObject();
    cJSON *completed = cJSON_CreateObject();
    cJSON *turn = cJSON_CreateObject();
    const char *turn_id = t->turn_id ? t->turn_id : "";
    cJSON_AddStringToObject(error, "threadId", t->id);
    cJSON_AddStringToObject(error, "turnId", turn_id);
    cJSON_AddBoolToObject(error, "willRetry", false);
    cJSON_AddItemToObject(error, "error", turn_error(message));
    notify(t->subscriber, "error", error);
    cJSON_AddStringToObject(turn, "id", turn_id);
    cJSON_AddItemToObject(turn, "items", cJSON_CreateArray());
    cJSON_AddStringToObject(turn, "status", "failed");
    cJSON_AddItemToObject(turn, "error", turn_error(message));
    cJSON_AddStringToObject(completed, "threadId", t->id);
    cJSON_AddItemToObject(completed, "turn", turn);
    notify(t->subscriber, "turn/completed", completed);
}

void loss_close_thread(const struct thread *t)
{
    cJSON *changed = cJSON_CreateObject();
    cJSON *status = cJSON_CreateObject();
    cJSON *closed = cJSON_CreateObject();
    cJSON_AddStringToObject(status, "type", "notLoaded");
    cJSON_AddStringToObject(changed, "threadId", t->id);
    cJSON_AddItemToObject(changed, "status", status);
    notify(t->subscriber, "thread/status/changed", changed);
    cJSON_AddStringToObject(closed, "threadId", t->id);
    notify(t->subscriber, "thread/closed", closed);
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
