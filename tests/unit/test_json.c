#include "proto/json.h"
#include "tests/unit/unit.h"

#include <cjson/cJSON.h>

static bool valid(const char *text)
{
    struct slice exact = unit_exact(slice_str(text));
    bool result = json_valid(exact);
    unit_exact_free(exact);
    return result;
}

static bool valid_to_cjson(const char *text)
{
    cJSON *tree = cJSON_ParseWithOpts(text, NULL, true);
    cJSON_Delete(tree);
    return tree;
}

/* Texts about which a full parser agrees. */
static const struct {
    const char *text;
    bool valid;
} agreed[] = {
    {"null", true},
    {"true", true},
    {"false", true},
    {"0", true},
    {"-0", true},
    {"12", true},
    {"-1.5e+10", true},
    {"1E-2", true},
    {"\"\"", true},
    {"\"a\"", true},
    {"[]", true},
    {"{}", true},
    {" [ ] ", true},
    {"\t{\r\n}\t", true},
    {"[1]", true},
    {"[1,2,[3,[]],{}]", true},
    {"{\"a\":1}", true},
    {"[{\"a\":1},[2],{\"b\":3}]", true},
    {"{\"a\":{\"b\":[{}]},\"c\":null}", true},
    {"{\"a\":1,\"a\":2}", true},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", true},
    {"\"\\u00e9\\u20AC\"", true},
    {"\"\\ud83d\\ude00\"", true},
    {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", true},
    {"", false},
    {" ", false},
    {"nul", false},
    {"nulll", false},
    {"tru", false},
    {"x", false},
    {"-", false},
    {"+1", false},
    {".5", false},
    {"\"", false},
    {"\"a", false},
    {"\"\\", false},
    {"\"\\\"", false},
    {"\"\\x\"", false},
    {"\"\\u12\"", false},
    {"\"\\ud83d\"", false},
    {"\"\\ud83dx\"", false},
    {"\"\\ud83d\\n\"", false},
    {"\"\\ud83d\\u0041\"", false},
    {"\"\\ude00\"", false},
    {"[", false},
    {"]", false},
    {"[1", false},
    {"[1,", false},
    {"[1,]", false},
    {"[,1]", false},
    {"[,]", false},
    {"[1 2]", false},
    {"[1}", false},
    {"{", false},
    {"}", false},
    {"{]", false},
    {"{\"a\"", false},
    {"{\"a\":", false},
    {"{\"a\":}", false},
    {"{\"a\":1", false},
    {"{\"a\":1,", false},
    {"{\"a\":1,}", false},
    {"{,\"a\":1}", false},
    {"{\"a\" 1}", false},
    {"{\"a\":1 \"b\":2}", false},
    {"{\"a\":1,,\"b\":2}", false},
    {"{a:1}", false},
    {"{1:1}", false},
    {"{'a':1}", false},
    {"[1] 2", false},
    {"{}{}", false},
    {"{} x", false},
    {"[[]", false},
    {"[]]", false},
    {"[{]}", false},
};

START_TEST(agrees_with_a_full_parser)
{
    for (size_t i = 0; i < ARRAY_LEN(agreed); i++) {
        ck_assert_msg(valid(agreed[i].text) == agreed[i].valid, "%s", agreed[i].text);
        ck_assert_msg(valid_to_cjson(agreed[i].text) == agreed[i].valid, "cJSON: %s",
                      agreed[i].text);
    }
}
END_TEST

/* cJSON lets these through; Codex does not answer them. */
START_TEST(is_stricter_than_cjson)
{
    static const char *const texts[] = {
        "01",
        "-01",
        "[1.]",
        "\"\t\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\x01\"",
        "\"\x1F\"",
        "\"\x80\"",             /* continuation without a lead */
        "\"\xC3\"",             /* lead without a continuation */
        "\"\xC0\xAF\"",         /* too long for what it says */
        "\"\xC1\xBF\"",         /* the same */
        "\"\xE0\x9F\xBF\"",     /* the same, three bytes */
        "\"\xED\xA0\x80\"",     /* a surrogate */
        "\"\xF0\x8F\xBF\xBF\"", /* too long, four bytes */
        "\"\xF4\x90\x80\x80\"", /* past the last character */
        "\"\xF5\x80\x80\x80\"",
        "\"\xFF\"",
        "\"\xE2\x82\"",
        "\"\xF0\x9F\x98\"",
        "\"\xE2(\xA1\"",
        "\f[]",
        "[\v]",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_msg(!valid(texts[i]), "number %zu: %s", i, texts[i]);
}
END_TEST

START_TEST(takes_utf8_up_to_its_edges)
{
    static const char *const texts[] = {
        "\"\x7F\"",         "\"\xC2\x80\"",         "\"\xDF\xBF\"",
        "\"\xE0\xA0\x80\"", "\"\xED\x9F\xBF\"",     "\"\xEE\x80\x80\"",
        "\"\xEF\xBF\xBF\"", "\"\xF0\x90\x80\x80\"", "\"\xF4\x8F\xBF\xBF\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_msg(valid(texts[i]), "number %zu", i);
}
END_TEST

START_TEST(a_nul_ends_nothing)
{
    ck_assert(!json_valid((struct slice){"1\0", 2}));
    ck_assert(!json_valid((struct slice){"\"a\0b\"", 5}));
    ck_assert(!json_valid((struct slice){"\"\\\0\"", 4}));
    ck_assert(!json_valid(SLICE_NULL));
}
END_TEST

/* n open containers of a kind, one in the other. */
static bool nested_valid(size_t n, const char *open, const char *close)
{
    char *text = calloc(1, n * (strlen(open) + strlen(close)) + 2);
    for (size_t i = 0; i < n; i++)
        strcat(text, open);
    strcat(text, "1");
    for (size_t i = 0; i < n; i++)
        strcat(text, close);
    bool result = valid(text);
    free(text);
    return result;
}

START_TEST(depth_ends_at_128)
{
    static const char *const kinds[][2] = {{"[", "]"}, {"{\"a\":", "}"}};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(nested_valid(63, kinds[i][0], kinds[i][1]));
        ck_assert(nested_valid(64, kinds[i][0], kinds[i][1]));
        ck_assert(nested_valid(65, kinds[i][0], kinds[i][1]));
        ck_assert(nested_valid(127, kinds[i][0], kinds[i][1]));
        ck_assert(nested_valid(128, kinds[i][0], kinds[i][1]));
        ck_assert(!nested_valid(129, kinds[i][0], kinds[i][1]));
        ck_assert(!nested_valid(5000, kinds[i][0], kinds[i][1]));
    }
    ck_assert(nested_valid(64, "[{\"a\":", "}]"));
    ck_assert(!nested_valid(64, "[{\"a\":", "]}")); /* closed in the wrong order */
}
END_TEST

START_TEST(depth_counts_what_is_open_already)
{
    struct json_cursor c = {.p = "[[1]]"};
    c.end = c.p + 5;
    ck_slice(json_skip(&c, 126), "[[1]]");
    c = (struct json_cursor){.p = c.end - 5, .end = c.end};
    ck_none(json_skip(&c, 127));
    ck_assert(c.bad);
}
END_TEST

START_TEST(gets_members)
{
    static const char text[] =
        " { \"a\" : { \"b\" : [1, 2] , \"s\":\"x\\\"y\" }, \"n\":null, \"a\":7, \"e\":\"\" } ";
    struct slice t = slice_str(text);
    ck_slice(json_get(t, "a.b"), "[1, 2]");
    ck_slice(json_get(t, "a.s"), "\"x\\\"y\"");
    ck_slice(json_get(t, "n"), "null");
    ck_slice(json_get(t, "a"), "{ \"b\" : [1, 2] , \"s\":\"x\\\"y\" }"); /* the first of two */
    ck_slice(json_get_text(t, "a.s"), "x\\\"y");
    ck_slice(json_get_text(t, "e"), "");
    ck_assert_ptr_nonnull(json_get_text(t, "e").p);
    ck_none(json_get_text(t, "n"));
    ck_none(json_get(t, "b"));
    ck_none(json_get(t, "a.b.c"));
    ck_none(json_get(t, "n.x"));
    ck_none(json_get(t, "a.bb"));
    ck_none(json_get(SLICE("[1]"), "a"));
    ck_none(json_get(SLICE_NULL, "a"));
    ck_none(json_text(SLICE("1")));
    ck_none(json_text(SLICE_NULL));
}
END_TEST

static void append(struct slice element, void *arg)
{
    char *to = arg;
    (void)sprintf(to + strlen(to), "<%.*s>", (int)element.n, element.p);
}

START_TEST(walks_arrays)
{
    char got[64] = "";
    json_each(SLICE(" [ 1 , [2,3] ,{\"a\":[4]}, \"5,6\" ] "), append, got);
    ck_assert_str_eq(got, "<1><[2,3]><{\"a\":[4]}><\"5,6\">");
    ck_assert_uint_eq(json_count(SLICE("[]")), 0);
    ck_assert_uint_eq(json_count(SLICE("[ ]")), 0);
    ck_assert_uint_eq(json_count(SLICE("[[],{},\"\"]")), 3);
    ck_assert_uint_eq(json_count(SLICE("{\"a\":1}")), 0);
    ck_assert_uint_eq(json_count(SLICE("7")), 0);
    ck_assert_uint_eq(json_count(SLICE_NULL), 0);
}
END_TEST

START_TEST(walks_objects)
{
    struct json_cursor c = {.p = "{\"a\":1 , \"b\" :[2]}"};
    struct slice key;
    bool first = true;
    c.end = c.p + strlen(c.p);
    ck_assert(json_enter_object(&c));
    ck_assert(json_member(&c, &first, &key));
    ck_slice(key, "a");
    ck_slice(json_skip(&c, 1), "1");
    ck_assert(json_member(&c, &first, &key));
    ck_slice(key, "b");
    ck_slice(json_skip(&c, 1), "[2]");
    ck_assert(!json_member(&c, &first, &key));
    ck_assert(!c.bad);
    ck_assert_ptr_eq(c.p, c.end);
    c = (struct json_cursor){.p = "[1]"};
    c.end = c.p + 3;
    ck_assert(!json_enter_object(&c));
}
END_TEST

START_TEST(tells_utf8)
{
    static const char *const good[] = {"", "a\t\"", "\xc3\xbc", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\xff",         "a\xc3",    "\xc3\x28",        "\xe2\x82",
                                      "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(json_is_utf8(slice_str(good[i])), "%zu", i);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!json_is_utf8(slice_str(bad[i])), "%zu", i);
    ck_assert(json_is_utf8(SLICE_NULL));
}
END_TEST

Suite *suite_json(void)
{
    const TTest *const tests[] = {
        agrees_with_a_full_parser,
        is_stricter_than_cjson,
        takes_utf8_up_to_its_edges,
        a_nul_ends_nothing,
        depth_ends_at_128,
        depth_counts_what_is_open_already,
        gets_members,
        walks_arrays,
        walks_objects,
        tells_utf8,
        NULL,
    };
    return unit_suite("json", tests);
}
