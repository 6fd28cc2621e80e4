#include "daemon/histogram.h"
#include "tests/unit/unit.h"

static const double bounds[] = {.1, 1, 10};

START_TEST(counts_up_to_each_bound)
{
    struct histogram h;
    histogram_init(&h, bounds, ARRAY_LEN(bounds));
    for (size_t i = 0; i <= ARRAY_LEN(bounds); i++)
        ck_assert_uint_eq(histogram_upto(&h, i), 0);
    histogram_add(&h, 0);
    histogram_add(&h, .1); /* a bound belongs to what is below it */
    histogram_add(&h, .11);
    histogram_add(&h, 10);
    histogram_add(&h, 10.5);
    ck_assert_uint_eq(histogram_upto(&h, 0), 2);
    ck_assert_uint_eq(histogram_upto(&h, 1), 3);
    ck_assert_uint_eq(histogram_upto(&h, 2), 4);
    ck_assert_uint_eq(histogram_upto(&h, 3), 5);
    ck_assert_double_eq_tol(h.sum, 20.71, 1e-9);
}
END_TEST

Suite *suite_histogram(void)
{
    const TTest *const tests[] = {
        counts_up_to_each_bound,
        NULL,
    };
    return unit_suite("histogram", tests);
}
