#include "proto/envelope.h"
#include "tests/unit/unit.h"

#include <cjson/cJSON.h>

static int scan(const char *line, struct envelope *e, const char **why)
{
    return envelope_scan(slice_str(line), e, why);
}

/* Slices by their text; NULL: the message has none. */
struct expected {
    const char *line;
    enum envelope_kind kind;
    const char *id, *method, *params, *result, *error, *thread_id;
};

static const struct expected messages[] = {
    {"{\"id\":1,\"method\":\"thread/start\",\"params\":{\"cwd\":\"/x\"}}", ENVELOPE_REQUEST, "1",
     "thread/start", "{\"cwd\":\"/x\"}", NULL, NULL, NULL},
    {"{\"method\":\"m\"}", ENVELOPE_NOTIFICATION, NULL, "m", NULL, NULL, NULL, NULL},
    {"{\"method\":\"m\",\"params\":null}", ENVELOPE_NOTIFICATION, NULL, "m", "null", NULL, NULL,
     NULL},
    {"{\"method\":\"m\",\"params\":[{\"threadId\":\"no\"}]}", ENVELOPE_NOTIFICATION, NULL, "m",
     "[{\"threadId\":\"no\"}]", NULL, NULL, NULL},
    {" {\t\"jsonrpc\" : \"2.0\" , \"method\":\"m\", \"id\" : \"a b\" , \"params\" : { } } ",
     ENVELOPE_REQUEST, "\"a b\"", "m", "{ }", NULL, NULL, NULL},
    {"{\"id\":7,\"result\":{\"x\":[1]}}", ENVELOPE_RESPONSE, "7", NULL, NULL, "{\"x\":[1]}", NULL,
     NULL},
    {"{\"result\":null,\"id\":7}", ENVELOPE_RESPONSE, "7", NULL, NULL, "null", NULL, NULL},
    {"{\"id\":7,\"error\":{\"code\":-1}}", ENVELOPE_RESPONSE, "7", NULL, NULL, NULL,
     "{\"code\":-1}", NULL},
    /* The thread's id in each of its three places, and which of them counts. */
    {"{\"method\":\"m\",\"params\":{\"a\":[{}],\"threadId\":\"t-1\",\"z\":{}}}",
     ENVELOPE_NOTIFICATION, NULL, "m", "{\"a\":[{}],\"threadId\":\"t-1\",\"z\":{}}", NULL, NULL,
     "t-1"},
    {"{\"method\":\"m\",\"params\":{\"thread\":{\"x\":{\"id\":\"no\"},\"id\":\"t-2\"}}}",
     ENVELOPE_NOTIFICATION, NULL, "m", "{\"thread\":{\"x\":{\"id\":\"no\"},\"id\":\"t-2\"}}", NULL,
     NULL, "t-2"},
    {"{\"method\":\"m\",\"params\":{\"conversationId\":\"t-3\"}}", ENVELOPE_NOTIFICATION, NULL, "m",
     "{\"conversationId\":\"t-3\"}", NULL, NULL, "t-3"},
    {"{\"method\":\"m\",\"params\":{\"conversationId\":\"t-3\",\"thread\":{\"id\":\"t-2\"}}}",
     ENVELOPE_NOTIFICATION, NULL, "m", "{\"conversationId\":\"t-3\",\"thread\":{\"id\":\"t-2\"}}",
     NULL, NULL, "t-2"},
    {"{\"method\":\"m\",\"params\":{\"thread\":{\"id\":\"t-2\"},\"threadId\":\"t-1\"}}",
     ENVELOPE_NOTIFICATION, NULL, "m", "{\"thread\":{\"id\":\"t-2\"},\"threadId\":\"t-1\"}", NULL,
     NULL, "t-1"},
    {"{\"method\":\"m\",\"params\":{\"threadId\":null}}", ENVELOPE_NOTIFICATION, NULL, "m",
     "{\"threadId\":null}", NULL, NULL, NULL},
    {"{\"method\":\"m\",\"params\":{\"threadId\":5,\"thread\":[]}}", ENVELOPE_NOTIFICATION, NULL,
     "m", "{\"threadId\":5,\"thread\":[]}", NULL, NULL, NULL},
    {"{\"method\":\"m\",\"params\":{\"x\":{\"threadId\":\"no\"}}}", ENVELOPE_NOTIFICATION, NULL,
     "m", "{\"x\":{\"threadId\":\"no\"}}", NULL, NULL, NULL},
    {"{\"method\":\"m\",\"threadId\":\"no\"}", ENVELOPE_NOTIFICATION, NULL, "m", NULL, NULL, NULL,
     NULL},
    /* A result's thread is not the message's. */
    {"{\"id\":1,\"result\":{\"thread\":{\"id\":\"t\"},\"threadId\":\"t\"}}", ENVELOPE_RESPONSE, "1",
     NULL, NULL, "{\"thread\":{\"id\":\"t\"},\"threadId\":\"t\"}", NULL, NULL},
    /* Escapes and letters beyond ASCII where they decide nothing. */
    {"{\"method\":\"m\",\"params\":{\"text\":\"\\u00e9\\ud83d\\ude00\\n\xC3\xA9\"}}",
     ENVELOPE_NOTIFICATION, NULL, "m", "{\"text\":\"\\u00e9\\ud83d\\ude00\\n\xC3\xA9\"}", NULL,
     NULL, NULL},
    {"{\"method\":\"m\",\"trace\":{\"id\":1,\"method\":2},\"more\":[1,2]}", ENVELOPE_NOTIFICATION,
     NULL, "m", NULL, NULL, NULL, NULL},
};

static void ck_optional(struct slice got, const char *want, const char *line)
{
    ck_assert_msg(!got.p == !want && (!want || slice_is(got, want)), "%s: %.*s, not %s", line,
                  (int)got.n, got.n ? got.p : "", want ? want : "none");
}

START_TEST(reads_messages)
{
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        const struct expected *m = &messages[i];
        struct envelope e;
        const char *why;
        ck_assert_msg(scan(m->line, &e, &why) == ENVELOPE_OK, "%s: %s", m->line, why);
        ck_assert_msg(e.kind == m->kind, "%s", m->line);
        ck_optional(e.id, m->id, m->line);
        ck_optional(e.method, m->method, m->line);
        ck_optional(e.params, m->params, m->line);
        ck_optional(e.result, m->result, m->line);
        ck_optional(e.error, m->error, m->line);
        ck_optional(e.thread_id, m->thread_id, m->line);
    }
}
END_TEST

START_TEST(ids_are_strings_or_64_bit_integers)
{
    static const char *const usable[] = {
        "0",     "-1",          "9223372036854775807", "-0", "\"\"",  "-9223372036854775808",
        "\"x\"", "\"\\u0041\"", "\"\xC3\xA9\"",        "1",  "\"1\"", "\"9223372036854775808\"",
    };
    static const char *const unusable[] = {
        "null",   "true", "1.5",        "9223372036854775808",
        "{}",     "[]",   "1e3",        "-9223372036854775809",
        "[\"\"]", "1.0",  "{\"id\":1}", "100000000000000000000000000000",
    };
    char line[128];
    struct envelope e;
    const char *why;
    for (size_t i = 0; i < ARRAY_LEN(usable); i++) {
        (void)sprintf(line, "{\"id\":%s,\"method\":\"m\"}", usable[i]);
        ck_assert_msg(scan(line, &e, &why) == ENVELOPE_OK, "%s: %s", usable[i], why);
        ck_slice(e.id, usable[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(unusable); i++) {
        (void)sprintf(line, "{\"id\":%s,\"method\":\"m\"}", unusable[i]);
        ck_assert_msg(scan(line, &e, &why) == ENVELOPE_INVALID, "%s", unusable[i]);
        ck_none(e.id);
        ck_assert_str_eq(why, "id must be a string or a 64-bit integer");
    }
}
END_TEST

/* What is JSON but no message, and the id by which its sender can be told. */
static const struct {
    const char *line, *id, *why;
} invalid[] = {
    {"[]", NULL, "not a JSON object (batches are not supported)"},
    {"[{\"id\":1,\"method\":\"m\"}]", NULL, "not a JSON object (batches are not supported)"},
    {"\"x\"", NULL, "not a JSON object (batches are not supported)"},
    {"null", NULL, "not a JSON object (batches are not supported)"},
    {"{}", NULL, "missing method"},
    {"{\"params\":{}}", NULL, "missing method"},
    {"{\"result\":1}", NULL, "missing method"},
    {"{\"id\":1}", "1", "missing method, or one of result and error"},
    {"{\"id\":1,\"result\":1,\"error\":{}}", "1", "missing method, or one of result and error"},
    {"{\"id\":1,\"method\":5}", "1", "method must be a string"},
    {"{\"id\":1,\"method\":null}", "1", "method must be a string"},
    {"{\"id\":1,\"method\":\"m\",\"result\":1}", "1", "a message has either a method or a result"},
    {"{\"id\":1,\"method\":\"m\",\"error\":1}", "1", "a message has either a method or a result"},
    {"{\"id\":1,\"id\":1,\"method\":\"m\"}", "1", "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"method\":\"m\"}", "1", "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{},\"params\":{}}", "1", "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"params\":[],\"params\":{}}", "1", "duplicate member"},
    {"{\"id\":1,\"result\":1,\"result\":1}", "1", "duplicate member"},
    {"{\"id\":1,\"error\":1,\"error\":1}", "1", "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"threadId\":\"a\",\"threadId\":\"b\"}}", "1",
     "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"thread\":{\"id\":\"a\"},\"thread\":{\"id\":\"b\"}}}",
     "1", "duplicate member"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"conversationId\":\"a\",\"conversationId\":\"b\"}}",
     "1", "duplicate member"},
    /* Two spellings of one name would be two messages to two readers. */
    {"{\"id\":1,\"m\\u0065thod\":\"m\"}", "1",
     "escape sequence in a member's name, a method or a thread id"},
    {"{\"id\":1,\"method\":\"config\\/read\"}", "1",
     "escape sequence in a member's name, a method or a thread id"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"thread\\u0049d\":\"a\"}}", "1",
     "escape sequence in a member's name, a method or a thread id"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"threadId\":\"\\u0061\"}}", "1",
     "escape sequence in a member's name, a method or a thread id"},
    {"{\"id\":1,\"method\":\"m\",\"params\":{\"thread\":{\"id\":\"\\u0061\"}}}", "1",
     "escape sequence in a member's name, a method or a thread id"},
    {"{\"id\":null,\"method\":\"m\",\"method\":\"m\"}", NULL, "duplicate member"},
};

START_TEST(says_what_is_no_message)
{
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        struct envelope e;
        const char *why;
        ck_assert_msg(scan(invalid[i].line, &e, &why) == ENVELOPE_INVALID, "%s", invalid[i].line);
        ck_assert_msg(strcmp(why, invalid[i].why) == 0, "%s: %s", invalid[i].line, why);
        ck_optional(e.id, invalid[i].id, invalid[i].line);
    }
}
END_TEST

START_TEST(says_what_is_no_json)
{
    static const char *const lines[] = {
        "",
        " ",
        "hello",
        "{",
        "{\"id\":1,\"method\":\"m\"",
        "{\"id\":1,\"method\":\"m\"}}",
        "{\"id\":1,\"method\":\"m\"} {}",
        "{\"id\":1 \"method\":\"m\"}",
        "{\"id\":1,\"method\":\"m\",}",
        "{\"id\":1,\"method\":\"m\",\"params\":{\"threadId\":\"x}}",
        "{\"id\":1,\"method\":\"m\",\"params\":{\"a\":1,}}",
        "{\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"\xFF\"}}",
        "{\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"\\ud800\"}}",
        "[1,",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct envelope e;
        const char *why;
        ck_assert_msg(scan(lines[i], &e, &why) == ENVELOPE_NOT_JSON, "%s", lines[i]);
        ck_assert_ptr_nonnull(why);
        ck_none(e.id);
        ck_none(e.method);
        ck_none(e.thread_id);
    }
}
END_TEST

/* The message itself is one level, its parameters are another. */
static int scan_nested(const char *before, size_t n, const char *after)
{
    struct envelope e;
    const char *why;
    char line[1024] = "";
    strcat(line, before);
    for (size_t i = 0; i < n; i++)
        strcat(line, "[");
    for (size_t i = 0; i < n; i++)
        strcat(line, "]");
    strcat(line, after);
    return scan(line, &e, &why);
}

START_TEST(depth_ends_at_128)
{
    static const char result[] = "{\"id\":1,\"result\":";
    static const char params[] = "{\"method\":\"m\",\"params\":";
    static const char member[] = "{\"method\":\"m\",\"params\":{\"a\":";
    for (size_t depth = 127; depth <= 129; depth++) {
        int want = depth <= 128 ? ENVELOPE_OK : ENVELOPE_NOT_JSON;
        ck_assert_int_eq(scan_nested(result, depth - 1, "}"), want);
        ck_assert_int_eq(scan_nested(params, depth - 1, "}"), want);
        ck_assert_int_eq(scan_nested(member, depth - 2, "}}"), want);
    }
}
END_TEST

/* The text is that of the tree; trees are compared as text, since one may have equal keys. */
static bool is_text_of(struct slice text, const cJSON *tree)
{
    cJSON *parsed = cJSON_ParseWithLength(text.p, text.n);
    char *got = parsed ? cJSON_PrintUnformatted(parsed) : NULL;
    char *want = cJSON_PrintUnformatted(tree);
    bool same = got && want && strcmp(got, want) == 0;
    cJSON_Delete(parsed);
    free(got);
    free(want);
    return same;
}

/* Where a tree of the same text says otherwise, one of the two readers is wrong. */
static void ck_same_as_tree(const struct envelope *e, const cJSON *tree, const char *line)
{
    const struct {
        const char *name;
        struct slice got;
    } members[] = {
        {"id", e->id},
        {"params", e->params},
        {"result", e->result},
        {"error", e->error},
    };
    const cJSON *method = cJSON_GetObjectItemCaseSensitive(tree, "method");
    ck_assert_msg(!method == !e->method.p, "%s", line);
    if (method && !memchr(e->method.p, '\\', e->method.n))
        ck_slice(e->method, method->valuestring);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const cJSON *want = cJSON_GetObjectItemCaseSensitive(tree, members[i].name);
        ck_assert_msg(!want == !members[i].got.p, "%s of %s", members[i].name, line);
        ck_assert_msg(!want || is_text_of(members[i].got, want), "%s of %s", members[i].name, line);
    }
}

/* Scans a changed message. Whatever it is now, nothing is read behind its end, and what is taken
 * for a message is what a full parser sees. */
static int scan_changed(struct slice line)
{
    struct slice exact = unit_exact(line);
    struct envelope e;
    const char *why;
    int r = envelope_scan(exact, &e, &why);
    if (r == ENVELOPE_OK) {
        char *text = slice_dup(line);
        cJSON *tree = cJSON_ParseWithLength(text, line.n);
        ck_assert_msg(tree != NULL, "%s", text);
        ck_same_as_tree(&e, tree, text);
        cJSON_Delete(tree);
        free(text);
    }
    unit_exact_free(exact);
    return r;
}

START_TEST(a_truncated_message_is_none)
{
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct slice line = slice_str(messages[i].line);
        while (line.n && line.p[line.n - 1] == ' ')
            line.n--;
        ck_assert_int_eq(scan_changed(line), ENVELOPE_OK);
        for (size_t n = 0; n < line.n; n++)
            ck_assert_int_eq(scan_changed((struct slice){line.p, n}), ENVELOPE_NOT_JSON);
    }
}
END_TEST

START_TEST(a_changed_byte_confuses_nobody)
{
    static const char bytes[] = "{}[]\",:\\ 01-.eau/t\n\x7F\x80\xC3\xFF";
    size_t accepted = 0, refused = 0;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        char *line = strdup(messages[i].line);
        size_t n = strlen(line);
        for (size_t at = 0; at < n; at++) {
            char was = line[at];
            for (size_t k = 0; k < sizeof(bytes); k++) {
                line[at] = bytes[k];
                if (scan_changed((struct slice){line, n}) == ENVELOPE_OK)
                    accepted++;
                else
                    refused++;
            }
            line[at] = was;
        }
        free(line);
    }
    ck_assert_uint_gt(accepted, 1000);
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

Suite *suite_envelope(void)
{
    const TTest *const tests[] = {
        reads_messages,
        ids_are_strings_or_64_bit_integers,
        says_what_is_no_message,
        says_what_is_no_json,
        depth_ends_at_128,
        a_truncated_message_is_none,
        a_changed_byte_confuses_nobody,
        NULL,
    };
    return unit_suite("envelope", tests);
}
