#include "proto/linebuf.h"

#include <errno.h>

/* One read takes up to this much. An empty buffer larger than this is given back, and after a read
 * that found less than it had room for one that is larger than it is to keep. */
#define LINEBUF_CHUNK ((size_t)256 * 1024)
#define LINEBUF_MIN ((size_t)1024)

void linebuf_init(struct linebuf *lb, size_t max_line_bytes)
{
    *lb = (struct linebuf){.max_line_bytes = max_line_bytes};
}

void linebuf_deinit(struct linebuf *lb)
{
    free(lb->data);
    *lb = (struct linebuf){0};
}

static void linebuf_compact(struct linebuf *lb)
{
    if (lb->begin == lb->end) {
        lb->begin = lb->scanned = lb->end = 0;
        if (lb->cap > (lb->filled ? LINEBUF_CHUNK : lb->keep)) {
            free(lb->data);
            lb->data = NULL;
            lb->cap = 0;
        }
        return;
    }
    if (lb->begin == 0)
        return;
    memmove(lb->data, lb->data + lb->begin, lb->end - lb->begin);
    lb->scanned -= lb->begin;
    lb->end -= lb->begin;
    lb->begin = 0;
}

/* Room for n more bytes at the end. */
static int linebuf_reserve(struct linebuf *lb, size_t n)
{
    if (lb->cap - lb->end >= n)
        return 0;
    linebuf_compact(lb);
    if (lb->cap - lb->end >= n)
        return 0;
    size_t cap = lb->cap ? lb->cap : LINEBUF_MIN;
    while (cap - lb->end < n)
        cap *= 2;
    char *data = realloc(lb->data, cap);
    if (!data)
        return -ENOMEM;
    lb->data = data;
    lb->cap = cap;
    return 0;
}

int linebuf_read(struct linebuf *lb, int fd)
{
    if (lb->begin == lb->end)
        linebuf_compact(lb);
    /* Small until a read fills it, so that idle connections stay small. */
    size_t least = lb->keep > LINEBUF_MIN / 2 ? lb->keep : LINEBUF_MIN / 2;
    size_t want = lb->filled ? lb->cap : least;
    int r = linebuf_reserve(lb, want < LINEBUF_CHUNK ? want : LINEBUF_CHUNK);
    if (r < 0)
        return r;
    size_t room = lb->cap - lb->end;
    for (;;) {
        ssize_t n = read(fd, lb->data + lb->end, room);
        if (n > 0) {
            lb->end += (size_t)n;
            lb->filled = (size_t)n == room;
            return LINEBUF_OK;
        }
        if (n == 0)
            return LINEBUF_EOF;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return LINEBUF_AGAIN;
        return -errno;
    }
}

int linebuf_push(struct linebuf *lb, const void *bytes, size_t n)
{
    int r = linebuf_reserve(lb, n);
    if (r < 0 || n == 0)
        return r;
    memcpy(lb->data + lb->end, bytes, n);
    lb->end += n;
    return 0;
}

int linebuf_next(struct linebuf *lb, struct slice *line)
{
    const char *from = lb->data ? lb->data + lb->scanned : NULL;
    const char *nl = from ? memchr(from, '\n', lb->end - lb->scanned) : NULL;
    if (!nl) {
        lb->scanned = lb->end;
        /* One byte more, because the last one may be the "\r" of the line's end. */
        return lb->end - lb->begin > lb->max_line_bytes + 1 ? LINEBUF_TOO_LONG : LINEBUF_NONE;
    }
    const char *start = lb->data + lb->begin;
    size_t n = (size_t)(nl - start);
    if (n > 0 && start[n - 1] == '\r')
        n--;
    if (n > lb->max_line_bytes)
        return LINEBUF_TOO_LONG;
    *line = (struct slice){start, n};
    lb->begin = lb->scanned = (size_t)(nl - lb->data) + 1;
    return LINEBUF_OK;
}

void linebuf_skip(struct linebuf *lb, size_t n)
{
    lb->begin += n;
    if (lb->scanned < lb->begin)
        lb->scanned = lb->begin;
}

void linebuf_trim(struct linebuf *lb)
{
    if (lb->begin == lb->end)
        linebuf_compact(lb);
}

size_t linebuf_pending(const struct linebuf *lb)
{
    return lb->end - lb->begin;
}

struct slice linebuf_rest(const struct linebuf *lb)
{
    if (lb->begin == lb->end)
        return SLICE_NULL;
    return (struct slice){lb->data + lb->begin, lb->end - lb->begin};
}
