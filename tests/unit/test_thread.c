#include "daemon/thread.h"
#include "tests/unit/unit.h"

static struct threads ts;
static struct list loaded;
static struct worker *const worker = (struct worker *)(uintptr_t)16;

static void begin(void)
{
    list_init(&loaded);
    ck_assert_int_eq(threads_init(&ts), 0);
}

static struct thread *add(const char *id)
{
    struct thread *t = threads_add(&ts, slice_str(id), worker, &loaded);
    ck_assert_ptr_nonnull(t);
    return t;
}

START_TEST(finds_what_was_added_until_it_is_removed)
{
    char id[16];
    begin();
    /* More than there are buckets at first, so that the table grows. */
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof(id), "t%d", i);
        (void)add(id);
    }
    ck_assert_uint_eq(ts.count, 1000);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof(id), "t%d", i);
        struct thread *t = threads_find(&ts, slice_str(id));
        ck_assert_ptr_nonnull(t);
        ck_assert_str_eq(t->id, id);
        threads_remove(&ts, t, &loaded);
        ck_assert_ptr_null(threads_find(&ts, slice_str(id)));
    }
    ck_assert(list_empty(&loaded));
    threads_deinit(&ts);
}
END_TEST

START_TEST(finds_nothing_for_no_id)
{
    begin();
    ck_assert_ptr_null(threads_find(&ts, SLICE_NULL));
    ck_assert_ptr_null(threads_find(&ts, SLICE("t")));
    threads_deinit(&ts);
}
END_TEST

START_TEST(has_one_subscriber_at_a_time)
{
    struct list a, b;
    struct client *ca = (struct client *)(uintptr_t)1, *cb = (struct client *)(uintptr_t)2;
    begin();
    list_init(&a);
    list_init(&b);
    struct thread *t = add("t");
    thread_subscribe(t, ca, &a);
    ck_assert_ptr_eq(t->subscriber, ca);
    ck_assert(!list_empty(&a));
    thread_subscribe(t, cb, &b);
    ck_assert_ptr_eq(t->subscriber, cb);
    ck_assert(list_empty(&a) && !list_empty(&b));
    thread_subscribe(t, NULL, NULL);
    ck_assert_ptr_null(t->subscriber);
    ck_assert(list_empty(&b));
    threads_remove(&ts, t, &loaded);
    threads_deinit(&ts);
}
END_TEST

START_TEST(sub_agents_descend_and_go_to_their_grandparent)
{
    begin();
    struct thread *parent = add("p"), *child = add("c"), *grandchild = add("g"), *other = add("o");
    child->parent = parent;
    grandchild->parent = child;
    ck_assert(thread_descends(grandchild, parent));
    ck_assert(thread_descends(parent, parent));
    ck_assert(!thread_descends(parent, child));
    ck_assert(!thread_descends(other, parent));
    ck_assert_uint_eq(thread_family(grandchild), thread_family(parent));
    ck_assert_uint_ne(thread_family(other), thread_family(parent));
    other->side_of = thread_family(grandchild);
    ck_assert_uint_eq(thread_family(other), thread_family(parent));
    threads_remove(&ts, child, &loaded);
    ck_assert_ptr_eq(grandchild->parent, parent);
    threads_remove(&ts, parent, &loaded);
    ck_assert_ptr_null(grandchild->parent);
    threads_remove(&ts, grandchild, &loaded);
    threads_remove(&ts, other, &loaded);
    threads_deinit(&ts);
}
END_TEST

START_TEST(is_busy_while_anything_runs_or_is_promised)
{
    begin();
    struct thread *t = add("t");
    ck_assert(!thread_busy(t));
    t->active = true;
    ck_assert(thread_busy(t));
    t->active = false;
    t->running = 2;
    ck_assert(thread_busy(t));
    t->running = 0;
    t->promised = 1;
    ck_assert(thread_busy(t));
    thread_set_turn(t, SLICE("one"));
    thread_set_turn(t, SLICE("one"));
    thread_set_turn(t, SLICE("two"));
    ck_assert_str_eq(t->turn_id, "two");
    threads_remove(&ts, t, &loaded);
    threads_deinit(&ts);
}
END_TEST

/* Ids of one process have most of their bytes in common. */
START_TEST(hashes_of_similar_ids_fall_into_many_buckets)
{
    static const char id[] = "0199b8a1-5b3c-7d40-9c1e-2f6a7b8c9d00";
    for (size_t at = 0; at < sizeof(id) - 1; at++) {
        uint64_t buckets = 0;
        for (char c = '0'; c < '0' + 64; c++) {
            char similar[sizeof(id)];
            memcpy(similar, id, sizeof(id));
            similar[at] = c;
            buckets |= UINT64_C(1) << thread_hash(slice_str(similar)) % 64;
        }
        /* At random it would be 40 of the 64. */
        ck_assert_int_ge(__builtin_popcountll(buckets), 25);
    }
}
END_TEST

Suite *suite_thread(void)
{
    const TTest *const tests[] = {
        finds_what_was_added_until_it_is_removed,
        finds_nothing_for_no_id,
        has_one_subscriber_at_a_time,
        sub_agents_descend_and_go_to_their_grandparent,
        is_busy_while_anything_runs_or_is_promised,
        hashes_of_similar_ids_fall_into_many_buckets,
        NULL,
    };
    return unit_suite("thread", tests);
}
