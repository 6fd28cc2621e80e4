#include "proto/block.h"
#include "tests/unit/unit.h"

static void fill(struct block *b, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        b->data[i] = (char)(i % 251);
}

static void check(const struct block *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (b->data[i] != (char)(i % 251))
            ck_abort_msg("byte %zu has changed", i);
}

/* As large as it may get: what was in it stays. */
START_TEST(grows)
{
    struct block *b = NULL;
    size_t before = 0;
    for (size_t cap = 1000; cap < 40000000; cap *= 3) {
        b = block_grow(b, cap);
        ck_assert_ptr_nonnull(b);
        ck_assert_uint_eq(b->cap, cap);
        check(b, before);
        fill(b, before, cap);
        before = cap;
    }
    ck_assert_ptr_null(block_drop(b));
}
END_TEST

START_TEST(the_last_holder_frees)
{
    struct block *b = block_grow(NULL, 100);
    ck_assert_ptr_nonnull(b);
    fill(b, 0, 100);
    ck_assert_ptr_eq(block_hold(b), b);
    ck_assert_uint_eq(b->holders, 2);
    ck_assert_ptr_null(block_drop(b));
    check(b, 100);
    ck_assert_uint_eq(b->holders, 1);
    ck_assert_ptr_null(block_drop(b));
    ck_assert_ptr_null(block_drop(NULL));
}
END_TEST

START_TEST(refuses_the_impossible)
{
    struct block *small = block_grow(NULL, 100), *large = block_grow(NULL, 10000000);
    ck_assert_ptr_nonnull(small);
    ck_assert_ptr_nonnull(large);
    fill(small, 0, small->cap);
    fill(large, 0, large->cap);
    static const size_t caps[] = {SIZE_MAX, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
        ck_assert_ptr_null(block_grow(NULL, caps[i]));
        ck_assert_ptr_null(block_grow(small, caps[i]));
        ck_assert_ptr_null(block_grow(large, caps[i]));
    }
    check(small, small->cap);
    check(large, large->cap);
    block_drop(small);
    block_drop(large);
}
END_TEST

Suite *suite_block(void)
{
    const TTest *const tests[] = {
        grows,
        the_last_holder_frees,
        refuses_the_impossible,
        NULL,
    };
    return unit_suite("block", tests);
}
