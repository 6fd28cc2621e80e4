#include "proto/json.h"
#include "proto/rpc.h"
#include "tests/unit/unit.h"

/* Compares and frees a message; every one must be one line of JSON. */
static void ck_message(char *got, const char *want)
{
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, want);
    ck_assert_msg(json_valid(slice_str(got)), "%s", got);
    ck_assert_ptr_null(strchr(got, '\n'));
    free(got);
}

static cJSON *one(const char *name, const char *value)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, name, value);
    return object;
}

START_TEST(requests_and_notifications)
{
    ck_message(rpc_request(SLICE("7"), "turn/start", one("threadId", "t")),
               "{\"id\":7,\"method\":\"turn/start\",\"params\":{\"threadId\":\"t\"}}");
    ck_message(rpc_request(SLICE("\"s\""), "m", NULL),
               "{\"id\":\"s\",\"method\":\"m\",\"params\":{}}");
    ck_message(rpc_notification("pool/queued", one("a", "line\nfeed \"quoted\"")),
               "{\"method\":\"pool/queued\",\"params\":{\"a\":\"line\\nfeed \\\"quoted\\\"\"}}");
    ck_message(rpc_notification("m", NULL), "{\"method\":\"m\",\"params\":{}}");
}
END_TEST

START_TEST(numbers_need_no_tree)
{
    ck_message(rpc_result_format(SLICE("\"a\""), "{\"worker\":%u,\"waitedMs\":%zu}", 3U, (size_t)9),
               "{\"id\":\"a\",\"result\":{\"worker\":3,\"waitedMs\":9}}");
    ck_message(rpc_notification_format("pool/queued", "{\"id\":%s}", "\"x\""),
               "{\"method\":\"pool/queued\",\"params\":{\"id\":\"x\"}}");
}
END_TEST

START_TEST(a_method_may_be_any_text)
{
    char name[1001] = "", want[1100];
    memset(name, 'x', sizeof(name) - 1);
    (void)snprintf(want, sizeof(want), "{\"id\":1,\"method\":\"%s\",\"params\":{}}", name);
    ck_message(rpc_request(SLICE("1"), name, NULL), want);
    ck_message(rpc_request(SLICE("1"), "a\"b\\c\nd", NULL),
               "{\"id\":1,\"method\":\"a\\\"b\\\\c\\nd\",\"params\":{}}");
}
END_TEST

START_TEST(results)
{
    ck_message(rpc_result(SLICE("1"), NULL), "{\"id\":1,\"result\":{}}");
    ck_message(rpc_result(SLICE("\"a\""), one("x", "y")),
               "{\"id\":\"a\",\"result\":{\"x\":\"y\"}}");
    ck_message(rpc_result_raw(SLICE("1"), SLICE("[1,  2e0]")), "{\"id\":1,\"result\":[1,  2e0]}");
    /* A borrowed slice ends where it says, not at a NUL. */
    ck_message(rpc_result_raw((struct slice){"12345", 2}, (struct slice){"truefalse", 4}),
               "{\"id\":12,\"result\":true}");
}
END_TEST

START_TEST(refusals_are_as_codex_says_them)
{
    ck_message(rpc_refusal(SLICE("3"), RPC_INVALID_REQUEST, "thread not found: x"),
               "{\"id\":3,\"error\":{\"code\":-32600,\"message\":\"thread not found: x\"}}");
}
END_TEST

START_TEST(errors_say_whether_to_try_again)
{
    ck_message(rpc_error(SLICE("3"), RPC_FORBIDDEN, "no", NULL),
               "{\"id\":3,\"error\":{\"code\":-32014,\"message\":\"no\",\"data\":"
               "{\"reason\":\"forbidden\",\"retryable\":false}}}");
    ck_message(rpc_error(SLICE_NULL, RPC_PARSE, "not JSON", NULL),
               "{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"not JSON\",\"data\":"
               "{\"reason\":\"parse\",\"retryable\":false}}}");
    ck_message(
        rpc_error(SLICE("3"), RPC_SHUTDOWN, "Worker pool has been shut down.", NULL),
        "{\"id\":3,\"error\":{\"code\":-32012,\"message\":\"Worker pool has been shut down.\""
        ",\"data\":{\"reason\":\"shutdown\",\"retryable\":true,"
        "\"codex_error_info\":\"server_overloaded\"}}}");
    ck_message(rpc_error(SLICE("3"), RPC_WORKER_LOST, "m", one("stderr", "x")),
               "{\"id\":3,\"error\":{\"code\":-32013,\"message\":\"m\",\"data\":"
               "{\"stderr\":\"x\",\"reason\":\"workerLost\",\"retryable\":false}}}");
}
END_TEST

START_TEST(every_code_has_its_reason)
{
    static const struct {
        int code;
        const char *reason;
        bool retryable;
    } table[] = {
        {-32700, "parse", false},          {-32600, "invalidRequest", false},
        {-32001, "queueFull", true},       {-32010, "acquireTimeout", true},
        {-32011, "aborted", false},        {-32012, "shutdown", true},
        {-32013, "workerLost", false},     {-32014, "forbidden", false},
        {-32015, "workerStart", false},    {-32016, "messageTooLarge", false},
        {-32603, "internal", false},       {-32602, "invalidRequest", false},
        {-32601, "invalidRequest", false}, {0, "invalidRequest", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        ck_assert_str_eq(rpc_reason(table[i].code), table[i].reason);
        ck_assert_int_eq(rpc_retryable(table[i].code), table[i].retryable);
    }
}
END_TEST

Suite *suite_rpc(void)
{
    const TTest *const tests[] = {
        requests_and_notifications,      numbers_need_no_tree,
        a_method_may_be_any_text,        results,
        refusals_are_as_codex_says_them, errors_say_whether_to_try_again,
        every_code_has_its_reason,       NULL,
    };
    return unit_suite("rpc", tests);
}
