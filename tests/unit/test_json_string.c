#include "proto/json_string.h"
#include "tests/unit/unit.h"

/* The same once more as it is where there is no SSE2. */
#undef __SSE2__
#define json_marks_from portable_marks_from
#define json_special_end portable_special_end
#define json_utf8_end portable_utf8_end
#include "proto/json_string.c"
#undef json_marks_from
#undef json_special_end
#undef json_utf8_end

typedef struct json_marks (*marks_from)(const char *p, const char *end, const char *before);

static const marks_from ways[] = {json_marks_from, portable_marks_from};

static bool is_marked(char ch)
{
    return (unsigned char)ch < 0x20 || (unsigned char)ch >= 0x80 || ch == '"' || ch == '\\';
}

/* The marks m are those of the text from p on, and none before them was passed over. */
static bool right(struct json_marks m, const char *p, const char *end)
{
    if (!m.bits || m.at < p || m.at > end || (m.at - p) % 64 != 0)
        return false;
    for (; p < m.at; p++)
        if (is_marked(*p))
            return false;
    for (int i = 0; i < 64 && m.at + i <= end; i++)
        if ((m.bits >> i & 1) != (m.at + i == end || is_marked(m.at[i])))
            return false;
    return true;
}

/* `before` as in json_marks_from. */
static void ck_marks(const char *p, const char *end, const char *before)
{
    for (size_t w = 0; w < ARRAY_LEN(ways); w++)
        if (!right(ways[w](p, end, before), p, end))
            ck_abort_msg("way %zu: the last %zu bytes of a text", w, (size_t)(end - p));
}

START_TEST(each_byte_is_marked_or_not)
{
    char block[64];
    for (int ch = 0; ch < 256; ch++) {
        for (size_t at = 0; at < sizeof(block); at++) {
            memset(block, 'x', sizeof(block));
            block[at] = (char)ch;
            block[(at + 1) % sizeof(block)] = '"'; /* its neighbour is seen beside it */
            ck_marks(block, block + sizeof(block), NULL);
        }
    }
}
END_TEST

START_TEST(marks_end_with_the_text)
{
    char text[200];
    memset(text, 'x', sizeof(text));
    for (size_t n = 0; n < sizeof(text); n++) {
        for (size_t quote = 0; quote <= n; quote += 7) {
            text[quote] = '"';
            struct slice exact = unit_exact((struct slice){text, n});
            text[quote] = 'x';
            for (size_t from = 0; from <= n; from++) {
                ck_marks(exact.p + from, exact.p + n, NULL);
                if (from >= 64)
                    ck_marks(exact.p + from, exact.p + n, exact.p);
            }
            unit_exact_free(exact);
        }
    }
}
END_TEST

/* Strings behind one another, of all lengths, so that their ends are at all places of a block. */
START_TEST(strings_that_share_marks_end_where_they_end)
{
    static const char *const inner[] = {"", "\\n", "\\\"", "\\\\", "\xC3\xA9", "\\ud83d\\ude00"};
    char text[200 * 32];
    for (size_t n = 0; n < 150; n++) {
        size_t length = 0, ends[30];
        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            const char *special = inner[(i + n) % ARRAY_LEN(inner)];
            length += (size_t)sprintf(text + length, "\"%.*s%s\"", (int)((n + i * 11) % 150),
                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                      special);
            ends[i] = length;
        }
        struct slice exact = unit_exact((struct slice){text, length});
        struct json_marks m = {0};
        const char *p = exact.p;
        bool has_escape;
        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            p = json_string_end(&m, p + 1, exact.p + length, &has_escape);
            ck_assert_ptr_eq(p, exact.p + ends[i]);
            ck_assert_int_eq(has_escape, inner[(i + n) % ARRAY_LEN(inner)][0] == '\\');
        }
        unit_exact_free(exact);
    }
}
END_TEST

Suite *suite_json_string(void)
{
    const TTest *const tests[] = {
        each_byte_is_marked_or_not,
        marks_end_with_the_text,
        strings_that_share_marks_end_where_they_end,
        NULL,
    };
    return unit_suite("json_string", tests);
}
