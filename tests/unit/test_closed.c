#include "daemon/closed.h"
#include "tests/unit/unit.h"

static struct slice number(char *to, size_t size, unsigned i)
{
    (void)snprintf(to, size, "thread-%u", i);
    return slice_str(to);
}

START_TEST(remembers_the_last_ones_only)
{
    static struct closed_ring ring;
    char id[32];
    memset(&ring, 0, sizeof(ring));
    for (unsigned i = 0; i < 3 * CLOSED_KEPT; i++) {
        closed_add(&ring, number(id, sizeof(id), i));
        ck_assert(closed_has(&ring, slice_str(id)));
    }
    for (unsigned i = 0; i < 3 * CLOSED_KEPT; i++)
        ck_assert_int_eq(closed_has(&ring, number(id, sizeof(id), i)), i >= 2 * CLOSED_KEPT);
}
END_TEST

/* However often it was closed. */
START_TEST(forgets_what_is_open_again)
{
    static struct closed_ring ring;
    memset(&ring, 0, sizeof(ring));
    closed_remove(&ring, SLICE("a"));
    for (int i = 0; i < 3; i++) {
        closed_add(&ring, SLICE("a"));
        closed_add(&ring, SLICE("b"));
    }
    closed_remove(&ring, SLICE("a"));
    ck_assert(!closed_has(&ring, SLICE("a")));
    ck_assert(closed_has(&ring, SLICE("b")));
    ck_assert(!closed_has(&ring, SLICE_NULL));
}
END_TEST

/* Against a list that is searched from end to end. */
START_TEST(is_what_a_plain_list_is)
{
    enum { KINDS = 6000, STEPS = 60000 };
    static struct closed_ring ring;
    static unsigned listed[CLOSED_KEPT]; /* the kind and one; 0: free */
    unsigned random = 1, at = 0;
    char id[32];
    memset(&ring, 0, sizeof(ring));
    memset(listed, 0, sizeof(listed));
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        unsigned kind = random / 256 % KINDS;
        struct slice name = number(id, sizeof(id), kind);
        bool found = false;
        for (size_t i = 0; i < CLOSED_KEPT; i++) {
            bool same = listed[i] == kind + 1;
            found = found || same;
            if (same && random >> 30 == 0)
                listed[i] = 0;
        }
        ck_assert_int_eq(closed_has(&ring, name), found);
        if (random >> 30 == 0) {
            closed_remove(&ring, name);
        } else {
            closed_add(&ring, name);
            listed[at++ % CLOSED_KEPT] = kind + 1;
        }
    }
}
END_TEST

Suite *suite_closed(void)
{
    const TTest *const tests[] = {
        remembers_the_last_ones_only,
        forgets_what_is_open_again,
        is_what_a_plain_list_is,
        NULL,
    };
    return unit_suite("closed", tests);
}
