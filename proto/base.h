/* Small things that every room uses: cleanup attributes, ownership hand-over, byte slices. */
#ifndef PROTO_BASE_H
#define PROTO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CP_MUSTCHECK __attribute__((warn_unused_result))
#define CP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _cleanup_free_ _cleanup_(cp_freep)
#define _cleanup_close_ _cleanup_(cp_closep)

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Bytes that somebody else owns; valid as long as the owner says so. Not NUL-terminated. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE_NULL ((struct slice){0})
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

static inline bool slice_starts(struct slice a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.p && a.n >= n && memcmp(a.p, prefix, n) == 0;
}

/* A NUL-terminated heap copy, the caller's to free; NULL when out of memory. */
static inline char *slice_dup(struct slice a)
{
    char *copy = malloc(a.n + 1);
    if (!copy)
        return NULL;
    if (a.n)
        memcpy(copy, a.p, a.n);
    copy[a.n] = '\0';
    return copy;
}

static inline void cp_freep(void *p)
{
    free(*(void **)p);
}

/* Returns -1, so that `fd = cp_close(fd)` leaves nothing to close twice. */
static inline int cp_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static inline void cp_closep(int *fd)
{
    *fd = cp_close(*fd);
}

/* Hands an owned descriptor over: the variable no longer owns it. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define take_ptr(ptr)                                                                              \
    ({                                                                                             \
        __typeof__(ptr) taken_ = (ptr);                                                            \
        (ptr) = NULL;                                                                              \
        taken_;                                                                                    \
    })

#endif
