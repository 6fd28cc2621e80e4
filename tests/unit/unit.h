/* What every suite needs: Check, comparisons of slices, and the list of all suites. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include "proto/base.h"

#include <check.h>
#include <stdio.h>

/* A suite is one line here and a function `Suite *suite_NAME(void)` in test_NAME.c. */
#define UNIT_SUITES(X)                                                                             \
    X(list)                                                                                        \
    X(block)                                                                                       \
    X(linebuf)                                                                                     \
    X(outbuf)                                                                                      \
    X(decimal)                                                                                     \
    X(json)                                                                                        \
    X(json_string)                                                                                 \
    X(envelope)                                                                                    \
    X(front)                                                                                       \
    X(method)                                                                                      \
    X(rpc)                                                                                         \
    X(sockpath)                                                                                    \
    X(queue)                                                                                       \
    X(thread)                                                                                      \
    X(closed)                                                                                      \
    X(config)                                                                                      \
    X(settings)                                                                                    \
    X(histogram)                                                                                   \
    X(policy)                                                                                      \
    X(top)

#define UNIT_DECLARE(name) Suite *suite_##name(void);
UNIT_SUITES(UNIT_DECLARE)

/* A suite of one case; `tests` is a NULL-terminated array. */
static inline Suite *unit_suite(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    for (; *tests; tests++)
        tcase_add_test(tcase, *tests);
    suite_add_tcase(suite, tcase);
    return suite;
}

#define ck_slice(got, text)                                                                        \
    do {                                                                                           \
        struct slice got_ = (got);                                                                 \
        const char *want_ = (text);                                                                \
        ck_assert_msg(slice_is(got_, want_), "%s is \"%.*s\", not \"%s\"", #got, (int)got_.n,      \
                      got_.n ? got_.p : "", want_);                                                \
    } while (0)

#define ck_none(got) ck_assert_msg(!(got).p, "%s is not none", #got)

/* A copy that ends with its last byte, so that the sanitizer sees a read behind it. */
static inline struct slice unit_exact(struct slice text)
{
    char *copy = malloc(text.n ? text.n : 1);
    ck_assert_ptr_nonnull(copy);
    if (text.n)
        memcpy(copy, text.p, text.n);
    return (struct slice){copy, text.n};
}

static inline void unit_exact_free(struct slice text)
{
    free((char *)text.p);
}

#endif
