#include "daemon/queue.h"
#include "tests/unit/unit.h"

static struct queue q;
static struct lane one, two;
static struct waiter w[6];

static void begin(void)
{
    queue_init(&q);
    lane_init(&one);
    lane_init(&two);
    for (size_t i = 0; i < ARRAY_LEN(w); i++)
        waiter_init(&w[i]);
}

START_TEST(serves_in_order_of_arrival_over_both_lanes)
{
    begin();
    queue_add(&q, &q.any, &w[0]);
    queue_add(&q, &one, &w[1]);
    queue_add(&q, &q.any, &w[2]);
    queue_add(&q, &one, &w[3]);
    for (size_t i = 0; i < 4; i++) {
        struct waiter *next = queue_oldest(&q, &one, NULL, NULL);
        ck_assert_ptr_eq(next, &w[i]);
        queue_remove(&q, next);
    }
    ck_assert_ptr_null(queue_oldest(&q, &one, NULL, NULL));
    queue_deinit(&q);
}
END_TEST

START_TEST(leaves_other_workers_lanes_alone)
{
    begin();
    queue_add(&q, &two, &w[0]);
    queue_add(&q, &one, &w[1]);
    ck_assert_ptr_eq(queue_oldest(&q, &one, NULL, NULL), &w[1]);
    ck_assert_ptr_eq(queue_oldest(&q, &two, NULL, NULL), &w[0]);
    ck_assert_ptr_null(queue_oldest(&q, NULL, NULL, NULL));
    ck_assert_ptr_eq(queue_first(&q), &w[0]);
}
END_TEST

START_TEST(counts_and_positions)
{
    begin();
    ck_assert_ptr_null(queue_first(&q));
    queue_add(&q, &one, &w[0]);
    queue_add(&q, &q.any, &w[1]);
    queue_add(&q, &two, &w[2]);
    ck_assert_uint_eq(q.length, 3);
    ck_assert_uint_eq(queue_position(&q, &w[2]), 3);
    queue_remove(&q, &w[1]);
    ck_assert_uint_eq(queue_position(&q, &w[2]), 2);
    queue_remove(&q, &w[1]);
    ck_assert_uint_eq(q.length, 2);
}
END_TEST

START_TEST(a_waiter_keeps_its_place_when_it_changes_lanes)
{
    begin();
    queue_add(&q, &one, &w[0]);
    queue_add(&q, &q.any, &w[1]);
    queue_add(&q, &one, &w[2]);
    queue_add(&q, &q.any, &w[3]);
    queue_move(&w[2], &q.any);
    queue_move(&w[0], &q.any);
    for (size_t i = 0; i < 4; i++) {
        struct waiter *next = queue_oldest(&q, &two, NULL, NULL);
        ck_assert_ptr_eq(next, &w[i]);
        queue_remove(&q, next);
    }
}
END_TEST

START_TEST(a_waiter_that_waits_again_goes_to_its_old_place)
{
    begin();
    queue_add(&q, &q.any, &w[0]);
    queue_add(&q, &q.any, &w[1]);
    queue_remove(&q, &w[0]);
    queue_add(&q, &q.any, &w[0]);
    ck_assert_ptr_eq(queue_oldest(&q, NULL, NULL, NULL), &w[0]);
    ck_assert_ptr_eq(queue_first(&q), &w[0]);
}
END_TEST

static bool is_not(const struct waiter *waiter, void *arg)
{
    return waiter != arg;
}

START_TEST(passes_over_those_that_may_not)
{
    begin();
    queue_add(&q, &q.any, &w[0]);
    queue_add(&q, &one, &w[1]);
    ck_assert_ptr_eq(queue_oldest(&q, &one, is_not, &w[0]), &w[1]);
    ck_assert_ptr_eq(queue_oldest(&q, &one, is_not, &w[1]), &w[0]);
    queue_remove(&q, &w[1]);
    ck_assert_ptr_null(queue_oldest(&q, &one, is_not, &w[0]));
}
END_TEST

Suite *suite_queue(void)
{
    const TTest *const tests[] = {
        serves_in_order_of_arrival_over_both_lanes,
        leaves_other_workers_lanes_alone,
        counts_and_positions,
        a_waiter_keeps_its_place_when_it_changes_lanes,
        a_waiter_that_waits_again_goes_to_its_old_place,
        passes_over_those_that_may_not,
        NULL,
    };
    return unit_suite("queue", tests);
}
