#include "proto/decimal.h"
#include "tests/unit/unit.h"

#include <inttypes.h>

static const uint64_t values[] = {0, 1, 9, 10, 99, 100, 128, 12345678901, INT64_MAX, UINT64_MAX};

START_TEST(writes_as_printf_does)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char text[DECIMAL_MAX], want[32];
        (void)snprintf(want, sizeof(want), "%" PRIu64, values[i]);
        struct slice written = {text, decimal_write(values[i], text)};
        ck_assert_msg(slice_is(written, want), "%s", want);
    }
}
END_TEST

static const struct {
    const char *text;
    int64_t value;
} good[] = {
    {"0", 0},
    {"-0", 0},
    {"7", 7},
    {"-1", -1},
    {"00012", 12},
    {"9223372036854775807", INT64_MAX},
    {"-9223372036854775808", INT64_MIN},
    {"9223372036854775799", INT64_MAX - 8},
};

START_TEST(reads_what_64_bits_hold)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t value = 4711;
        ck_assert_msg(decimal_read(slice_str(good[i].text), &value), "%s", good[i].text);
        ck_assert_int_eq(value, good[i].value);
    }
}
END_TEST

static const char *const bad[] = {
    "",
    "-",
    "--1",
    "+1",
    " 1",
    "1 ",
    "1.0",
    "1e2",
    "0x1",
    "\"1\"",
    "null",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "99999999999999999999",
    "100000000000000000000000000",
};

START_TEST(refuses_what_is_no_such_number)
{
    int64_t value;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!decimal_read(slice_str(bad[i]), &value), "%s", bad[i]);
    ck_assert(!decimal_read(SLICE_NULL, &value));
}
END_TEST

Suite *suite_decimal(void)
{
    const TTest *const tests[] = {
        writes_as_printf_does,
        reads_what_64_bits_hold,
        refuses_what_is_no_such_number,
        NULL,
    };
    return unit_suite("decimal", tests);
}
