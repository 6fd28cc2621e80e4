#include "proto/front.h"
#include "tests/unit/unit.h"

START_TEST(finds_what_decides)
{
    struct front f;
    const char *line =
        "{\"method\":\"item/agentMessage/delta\",\"params\":{\"threadId\":\"t-1\",\"delta\":\"\xff";
    ck_assert(front_scan(slice_str(line), &f));
    ck_assert(slice_is(f.method, "item/agentMessage/delta"));
    ck_assert(slice_is(f.thread_id, "t-1"));
    ck_assert_uint_eq(f.n, strlen("{\"method\":\"item/agentMessage/delta\",\"params\":{"
                                  "\"threadId\":\"t-1\""));
    ck_assert(front_is_delta(&f));
}
END_TEST

/* Each is, or may be, something else than it looks like. */
static const char *const different[] = {
    "",
    "{",
    "{\"method\":\"",
    "{\"method\":\"m",
    "{\"method\":\"m\"",
    "{\"method\":\"m\"}",
    "{\"method\":\"m\",\"params\":{}}",
    "{\"method\":\"\",\"params\":{\"threadId\":\"t\"}}",
    "{\"method\":\"m\",\"params\":{\"threadId\":\"\"}}",
    "{\"method\":\"m\",\"params\":{\"threadId\":\"t",
    "{\"method\":\"m\",\"params\":{\"threadId\":null}}",
    "{\"method\":\"m\",\"params\":{\"threadId\":\"t\\u0031\"}}",
    "{\"method\":\"m\\u0031\",\"params\":{\"threadId\":\"t\"}}",
    "{\"method\":\"m\",\"params\":{\"threadId\":\"t\xc3\xa4\"}}",
    "{\"method\":\"m\",\"params\":{\"turnId\":\"x\",\"threadId\":\"t\"}}",
    "{\"id\":1,\"method\":\"m\",\"params\":{\"threadId\":\"t\"}}",
    "{ \"method\":\"m\",\"params\":{\"threadId\":\"t\"}}",
};

START_TEST(looks_no_further_where_a_line_is_different)
{
    struct front f;
    for (size_t i = 0; i < ARRAY_LEN(different); i++)
        ck_assert_msg(!front_scan(slice_str(different[i]), &f), "%s", different[i]);
}
END_TEST

START_TEST(reads_nothing_that_is_too_long)
{
    char line[512], id[200];
    struct front f;
    memset(id, 'i', sizeof(id));
    id[129] = '\0';
    (void)snprintf(line, sizeof(line), "{\"method\":\"m\",\"params\":{\"threadId\":\"%s\"}}",
                   id + 2);
    ck_assert(front_scan(slice_str(line), &f));
    (void)snprintf(line, sizeof(line), "{\"method\":\"m\",\"params\":{\"threadId\":\"%s\"}}", id);
    ck_assert(!front_scan(slice_str(line), &f));
}
END_TEST

START_TEST(knows_pieces_of_items)
{
    static const char *const pieces[] = {
        "item/agentMessage/delta", "item/plan/delta", "item/reasoning/textDelta",
        "item/reasoning/summaryTextDelta", "item/commandExecution/outputDelta"};
    static const char *const others[] = {
        "item/started", "item/completed",           "delta",
        "item/delta",   "command/exec/outputDelta", "turn/plan/delta"};
    struct front f = {0};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        f.method = slice_str(pieces[i]);
        ck_assert_msg(front_is_delta(&f), "%s", pieces[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        f.method = slice_str(others[i]);
        ck_assert_msg(!front_is_delta(&f), "%s", others[i]);
    }
}
END_TEST

Suite *suite_front(void)
{
    const TTest *const tests[] = {
        finds_what_decides,
        looks_no_further_where_a_line_is_different,
        reads_nothing_that_is_too_long,
        knows_pieces_of_items,
        NULL,
    };
    return unit_suite("front", tests);
}
