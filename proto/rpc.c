#include "proto/rpc.h"

#include "proto/json.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int code;
    const char *reason;
    bool retryable;
} reasons[] = {
    {RPC_PARSE, "parse", false},
    {RPC_QUEUE_FULL, "queueFull", true},
    {RPC_ACQUIRE_TIMEOUT, "acquireTimeout", true},
    {RPC_ABORTED, "aborted", false},
    {RPC_SHUTDOWN, "shutdown", true},
    {RPC_WORKER_LOST, "workerLost", false},
    {RPC_FORBIDDEN, "forbidden", false},
    {RPC_WORKER_START, "workerStart", false},
    {RPC_MESSAGE_TOO_LARGE, "messageTooLarge", false},
    {RPC_INTERNAL, "internal", false},
};

const char *rpc_reason(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "invalidRequest";
}

bool rpc_retryable(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].code == code)
            return reasons[i].retryable;
    return false;
}

/* PREFIX ID MIDDLE BODY } */
static char *join(const char *prefix, struct slice id, const char *middle, struct slice body)
{
    if (!id.p)
        id = SLICE("null");
    struct slice parts[] = {slice_str(prefix), id, slice_str(middle), body, SLICE("}")};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        n += parts[i].n;
    char *line = malloc(n + 1), *to = line;
    for (size_t i = 0; line && i < ARRAY_LEN(parts); i++)
        if (parts[i].n)
            to = mempcpy(to, parts[i].p, parts[i].n);
    if (line)
        *to = '\0';
    return line;
}

/* A part of the tree that is being built is missing. cJSON's hooks take no argument to find it by.
 */
static bool incomplete;

static void *allocate(size_t n)
{
    void *p = malloc(n);
    incomplete = incomplete || !p;
    return p;
}

void rpc_init(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = allocate, .free_fn = free});
}

cJSON *rpc_object(void)
{
    incomplete = false;
    return cJSON_CreateObject();
}

void rpc_add(cJSON *to, const char *name, cJSON *item)
{
    bool added = name ? cJSON_AddItemToObject(to, name, item) : cJSON_AddItemToArray(to, item);
    if (!added)
        cJSON_Delete(item);
}

/* The tree's text, the tree being consumed; "{}" for none. NULL when out of memory. */
char *rpc_print(cJSON *tree)
{
    char *text = NULL;
    if (!incomplete)
        text = tree ? cJSON_PrintUnformatted(tree) : strdup("{}");
    cJSON_Delete(tree);
    incomplete = false;
    return text;
}

static char *join_tree(const char *prefix, struct slice id, const char *middle, cJSON *tree)
{
    _cleanup_free_ char *body = rpc_print(tree);
    return body ? join(prefix, id, middle, slice_str(body)) : NULL;
}

char *rpc_request(struct slice id, const char *method, cJSON *params)
{
    cJSON *text = cJSON_CreateString(method);
    _cleanup_free_ char *name = rpc_print(text);
    _cleanup_free_ char *middle = NULL;
    if (!name || asprintf(&middle, ",\"method\":%s,\"params\":", name) < 0) {
        middle = NULL;
        cJSON_Delete(params);
        return NULL;
    }
    return join_tree("{\"id\":", id, middle, params);
}

char *rpc_notification(const char *method, cJSON *params)
{
    return join_tree("{\"method\":\"", slice_str(method), "\",\"params\":", params);
}

char *rpc_result(struct slice id, cJSON *result)
{
    return join_tree("{\"id\":", id, ",\"result\":", result);
}

char *rpc_result_raw(struct slice id, struct slice result)
{
    return join("{\"id\":", id, ",\"result\":", result);
}

static char *join_format(const char *prefix, struct slice id, const char *middle,
                         const char *format, va_list args)
{
    _cleanup_free_ char *body = NULL;
    if (vasprintf(&body, format, args) < 0)
        return body = NULL;
    return join(prefix, id, middle, slice_str(body));
}

char *rpc_request_format(struct slice id, const char *method, const char *format, ...)
{
    char middle[128];
    size_t n = (size_t)snprintf(middle, sizeof(middle), ",\"method\":\"%s\",\"params\":", method);
    va_list args;
    if (n >= sizeof(middle))
        return NULL;
    va_start(args, format);
    char *line = join_format("{\"id\":", id, middle, format, args);
    va_end(args);
    return line;
}

char *rpc_result_format(struct slice id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *line = join_format("{\"id\":", id, ",\"result\":", format, args);
    va_end(args);
    return line;
}

char *rpc_notification_format(const char *method, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *line = join_format("{\"method\":\"", slice_str(method), "\",\"params\":", format, args);
    va_end(args);
    return line;
}

/* Messages quote what others wrote, which need not be text, and may have cut it short. */
static bool add_message(cJSON *error, const char *message)
{
    _cleanup_free_ char *text = strdup(message);
    if (!text)
        return false;
    json_clean_text(text);
    return cJSON_AddStringToObject(error, "message", text);
}

char *rpc_refusal(struct slice id, int code, const char *message)
{
    cJSON *error = rpc_object();
    if (!error || !cJSON_AddNumberToObject(error, "code", code) || !add_message(error, message)) {
        cJSON_Delete(error);
        return NULL;
    }
    return join_tree("{\"id\":", id, ",\"error\":", error);
}

/* Adds what every error of the daemon's own says of itself. */
static bool describe(cJSON *data, int code)
{
    bool ok = cJSON_AddStringToObject(data, "reason", rpc_reason(code)) &&
              cJSON_AddBoolToObject(data, "retryable", rpc_retryable(code));
    /* The one thing that the SDKs' retry helpers look at. */
    if (ok && rpc_retryable(code))
        ok = cJSON_AddStringToObject(data, "codex_error_info", "server_overloaded");
    return ok;
}

char *rpc_error(struct slice id, int code, const char *message, cJSON *more)
{
    cJSON *error = more ? cJSON_CreateObject() : rpc_object();
    cJSON *data = more ? more : cJSON_CreateObject();
    if (!error || !data || !describe(data, code) || !cJSON_AddNumberToObject(error, "code", code) ||
        !add_message(error, message) || !cJSON_AddItemToObject(error, "data", data)) {
        cJSON_Delete(data);
        cJSON_Delete(error);
        return NULL;
    }
    return join_tree("{\"id\":", id, ",\"error\":", error);
}

bool rpc_says_not_free(struct slice error)
{
    static const char writer[] = "already has an active writer", closing[] = "is closing; retry";
    struct slice message = error.n ? json_get_text(error, "message") : SLICE_NULL;
    return message.n && (memmem(message.p, message.n, writer, sizeof(writer) - 1) ||
                         memmem(message.p, message.n, closing, sizeof(closing) - 1));
}

bool rpc_says_unknown_method(struct slice error)
{
    /* Codex's own words (0.105 to 0.169), before the list of those that it knows. */
    static const char unknown[] = "Invalid request: unknown variant";
    if (!error.n)
        return false;
    return slice_starts(json_get_text(error, "message"), unknown);
}
