/* The messages that are written, not passed on: lines of JSON without their newline.
 *
 * Every function returns a heap string, the caller's to free, or NULL when out of memory. Trees
 * that are handed in are consumed, also on failure.
 *
 * A tree that is handed in begins with rpc_object(); from then on until it is handed in, cJSON's
 * results need not be looked at one by one: where any part of it found no memory, NULL included,
 * there is no message. One tree at a time. */
#ifndef PROTO_RPC_H
#define PROTO_RPC_H

#include "proto/base.h"

#include <cjson/cJSON.h>

enum rpc_code {
    RPC_PARSE = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL = -32603,
    RPC_QUEUE_FULL = -32001, /* Codex's own code and text for overload */
    RPC_ACQUIRE_TIMEOUT = -32010,
    RPC_ABORTED = -32011,
    RPC_SHUTDOWN = -32012,
    RPC_WORKER_LOST = -32013,
    RPC_FORBIDDEN = -32014,
    RPC_WORKER_START = -32015,
    RPC_MESSAGE_TOO_LARGE = -32016,
};

/* Before anything else here, by a program that goes on when it is out of memory: takes cJSON's
 * allocator over. */
void rpc_init(void);

/* An empty object; NULL when out of memory. */
cJSON *rpc_object(void);

/* Adds an item to an object or, without a name, to an array; consumed, also on failure. */
void rpc_add(cJSON *to, const char *name, cJSON *item);

/* The tree alone. */
char *rpc_print(cJSON *tree);

/* {"id":ID,"method":METHOD,"params":PARAMS}; id is raw JSON, method any text, params may be NULL
 * ({}). */
char *rpc_request(struct slice id, const char *method, cJSON *params);

/* The same with params written by a format, which must make JSON: for what is said often, since a
 * tree with a few numbers costs ten times as much. method must need no escapes. */
char *rpc_request_format(struct slice id, const char *method, const char *format, ...)
    CP_PRINTF(3, 4);

/* {"method":METHOD,"params":PARAMS}; method must need no escapes. */
char *rpc_notification(const char *method, cJSON *params);

/* The same with params written by a format, as for rpc_request_format. */
char *rpc_notification_format(const char *method, const char *format, ...) CP_PRINTF(2, 3);

/* {"id":ID,"result":RESULT}; result NULL is {}. */
char *rpc_result(struct slice id, cJSON *result);

/* {"id":ID,"result":RAW} with the result's bytes as they are. */
char *rpc_result_raw(struct slice id, struct slice result);

/* The same with a result written by a format, as for rpc_request_format. */
char *rpc_result_format(struct slice id, const char *format, ...) CP_PRINTF(2, 3);

/* {"id":ID,"error":{"code","message"}} without data, as Codex itself answers. */
char *rpc_refusal(struct slice id, int code, const char *message);

/* An error of the daemon's own, with data {"reason","retryable"} and what `more` (may be NULL)
 * adds; reason and retryability follow from the code. id SLICE_NULL is null. */
char *rpc_error(struct slice id, int code, const char *message, cJSON *more);

/* An error of Codex's own (raw JSON): it refuses a thread because another process has it, or
 * because it is letting go of it itself. */
bool rpc_says_not_free(struct slice error);

/* The same: it does not know the method at all. */
bool rpc_says_unknown_method(struct slice error);

/* "queueFull", "shutdown", …; "invalidRequest" for the codes of JSON-RPC itself. */
const char *rpc_reason(int code);

/* True where the same request may well succeed a moment later. */
bool rpc_retryable(int code);

#endif
