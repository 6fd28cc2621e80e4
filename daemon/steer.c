#include "daemon/steer.h"

struct steer *steer_begin(struct client *c, const struct envelope *e, const char *method,
                          steer_look *look)
{
    struct server *s = c->server;
    struct steer *t = calloc(1, sizeof(*t) + s->n_workers * sizeof(t->workers[0]));
    char *id = slice_dup(e->id);
    if (!t || !id) {
        free(t);
        free(id);
        client_send_take(c, rpc_error(e->id, RPC_INTERNAL, "Out of memory for a request.", NULL));
        return NULL;
    }
    t->client = c;
    t->id = id;
    t->method = method;
    t->look = look;
    t->since = now_ms();
    list_append(&s->steering, &t->node);
    return t;
}

void steer_add_worker(struct steer *t, unsigned id, unsigned starts)
{
    t->workers[t->n_workers++] = (struct steer_worker){id, starts};
}

static void end(struct steer *t)
{
    list_remove(&t->node);
    free(t->id);
    free(t->thread_id);
    free(t);
}

void steer_answer(struct steer *t, cJSON *result)
{
    client_send_take(t->client, rpc_result(slice_str(t->id), result));
    end(t);
}

void steer_fail(struct steer *t, int code, const char *message)
{
    client_send_take(t->client, rpc_error(slice_str(t->id), code, message, NULL));
    end(t);
}

void steer_look_all(struct server *s)
{
    list_for_each_safe (it, &s->steering) {
        struct steer *t = list_entry(it, struct steer, node);
        t->look(s, t);
    }
}

bool steer_has(const struct client *c)
{
    list_for_each (it, &c->server->steering)
        if (list_entry(it, struct steer, node)->client == c)
            return true;
    return false;
}

void steer_add_ids(cJSON *ids, const struct client *c)
{
    list_for_each (it, &c->server->steering) {
        const struct steer *t = list_entry(it, struct steer, node);
        if (t->client == c)
            rpc_add(ids, NULL, cJSON_CreateRaw(t->id));
    }
}

void steer_forget(struct client *c)
{
    list_for_each_safe (it, &c->server->steering) {
        struct steer *t = list_entry(it, struct steer, node);
        if (t->client == c)
            end(t);
    }
}

void steer_shut_down(struct server *s)
{
    struct steer *t;
    while ((t = list_first(&s->steering, struct steer, node)))
        steer_fail(t, RPC_SHUTDOWN, "Worker pool has been shut down.");
}

cJSON *steer_status(const struct server *s)
{
    cJSON *list = cJSON_CreateArray();
    list_for_each (it, &s->steering) {
        const struct steer *t = list_entry(it, struct steer, node);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "method", t->method);
        cJSON_AddNumberToObject(o, "client", t->client->id);
        cJSON_AddNumberToObject(o, "sinceMs", (double)(now_ms() - t->since));
        rpc_add(list, NULL, o);
    }
    return list;
}
