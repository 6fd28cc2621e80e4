/* What the fuzz targets share. A target is a file fuzz_NAME.c with one LLVMFuzzerTestOneInput:
 * clang links it with libFuzzer, any compiler with replay.c, which only runs the inputs that it is
 * given.
 *
 *   make fuzz SECONDS=60 [TARGETS="json session"]   looks for inputs that break something
 *   make fuzz-replay                                runs those of corpus/ and found/ once (no
 * clang) build/fuzz/fuzz-NAME FILE                       one input; add -runs=0 DIR for a whole
 * directory
 *
 * corpus/NAME has inputs to start from; found/NAME those that once broke something, which every
 * `make check` runs again. An input that breaks something is kept there by itself: give it a name
 * that says what it is. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "proto/base.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run where something is not as it must be, whatever NDEBUG says. */
#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);          \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fputc('\n', stderr);                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Says what goes where, with FUZZ_TRACE=1 in the environment: to look at an input. */
#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (getenv("FUZZ_TRACE"))                                                                  \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
    } while (0)

/* A copy that ends with its last byte, so that the sanitizer sees a read behind it. Free .p. */
static inline struct slice fuzz_exact(const void *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    if (n)
        memcpy(copy, bytes, n);
    return (struct slice){copy, n};
}

/* Cuts off what is before the first `end` byte, and that byte; all where there is none. */
static inline struct slice fuzz_cut(struct slice *rest, char end)
{
    const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
    struct slice cut = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t used = cut.n + (at != NULL);
    *rest = (struct slice){rest->p + used, rest->n - used};
    return cut;
}

#endif
