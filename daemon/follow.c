#include "daemon/follow.h"

#include "daemon/worker.h"
#include "proto/json.h"

struct worker *follow_pinned(const struct client *c)
{
    list_for_each (it, &c->leases) {
        struct worker *w = list_entry(it, struct worker, lease.in_client);
        if (w->lease.pinned)
            return w;
    }
    return NULL;
}

/* Where the client's command with this processId runs. */
static struct worker *command_worker(const struct request *r)
{
    list_for_each (it, &r->client->requests) {
        const struct request *other = list_entry(it, struct request, in_client);
        if (other != r && other->state == REQUEST_SENT && other->key && r->key &&
            other->method->class == METHOD_STREAM && strcmp(other->key, r->key) == 0)
            return other->worker;
    }
    return NULL;
}

/* Codex's words where there is no such thing (0.169); what is not here is answered by {}. */
static const struct {
    const char *prefix, *key, *words;
} refusals[] = {
    {"command/exec/", "processId", "no active command/exec for process id \"%.*s\""},
    {"process/", "processHandle", "no active process for process handle \"%.*s\""},
    {"fuzzyFileSearch/sessionUpdate", "sessionId", "fuzzy file search session not found: %.*s"},
};

static void answer_nothing_there(struct request *r)
{
    struct slice params = json_get(r->line, "params");
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        if (!slice_starts(slice_str(r->method->name), refusals[i].prefix))
            continue;
        struct slice key = params.n ? json_get_text(params, refusals[i].key) : SLICE_NULL;
        int n = key.n < 256 ? (int)key.n : 256;
        request_refuse(r, RPC_INVALID_REQUEST, refusals[i].words, n, key.n ? key.p : "");
        return;
    }
    request_answer(r, rpc_result(slice_str(r->id), NULL));
}

void follow_route(struct request *r)
{
    bool command = r->method->flags & METHOD_EXEC;
    struct worker *w = command ? command_worker(r) : follow_pinned(r->client);
    if (w)
        worker_send(w, r);
    else
        answer_nothing_there(r);
}
