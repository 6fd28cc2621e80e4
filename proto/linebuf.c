#include "proto/linebuf.h"

#include <errno.h>

/* One read takes about this much, so that it is still in the processor's cache as it is written,
 * and others soon have their turn. An empty buffer larger than this is given back, and after a read
 * that found less than it had room for one that is larger than it is to keep. */
#define LINEBUF_CHUNK ((size_t)64 * 1024)
#define LINEBUF_MIN ((size_t)1024)
/* Holding on to a shorter line would keep more of what others have sent than its copy takes. */
#define LINEBUF_LONG ((size_t)256 * 1024)

void linebuf_init(struct linebuf *lb, size_t max_line_bytes)
{
    size_t most = LINEBUF_MAX / 2;
    *lb = (struct linebuf){.max_line_bytes =
                               (uint32_t)(max_line_bytes < most ? max_line_bytes : most)};
}

void linebuf_deinit(struct linebuf *lb)
{
    block_drop(lb->block);
    *lb = (struct linebuf){0};
}

static size_t capacity(const struct linebuf *lb)
{
    return lb->block ? lb->block->cap : 0;
}

/* Somebody holds a line of it: nothing in it may change or move. */
static bool is_shared(const struct linebuf *lb)
{
    return lb->block && lb->block->holders > 1;
}

/* What is left is in `to`, at its beginning. */
static void move_to(struct linebuf *lb, struct block *to)
{
    size_t n = linebuf_pending(lb);
    if (n)
        memmove(to->data, lb->block->data + lb->begin, n);
    if (to != lb->block)
        block_drop(lb->block);
    lb->block = to;
    lb->scanned -= lb->begin;
    lb->end = (uint32_t)n;
    lb->begin = 0;
}

/* Nothing is left. */
static void empty(struct linebuf *lb)
{
    lb->begin = lb->scanned = lb->end = 0;
    if (is_shared(lb) || capacity(lb) > (lb->filled ? LINEBUF_CHUNK : lb->keep))
        lb->block = block_drop(lb->block);
}

static bool has_room(const struct linebuf *lb, size_t n)
{
    return !is_shared(lb) && capacity(lb) - lb->end >= n;
}

/* Room for n more bytes at the end. */
static int linebuf_reserve(struct linebuf *lb, size_t n)
{
    struct block *old = is_shared(lb) ? NULL : lb->block;
    if (has_room(lb, n))
        return 0;
    if (n > LINEBUF_MAX - linebuf_pending(lb))
        return -ENOMEM;
    if (old && lb->begin)
        move_to(lb, old);
    if (has_room(lb, n))
        return 0;
    size_t cap = old ? old->cap : LINEBUF_MIN;
    while (cap < linebuf_pending(lb) + n)
        cap *= 2;
    struct block *block = block_grow(old, cap);
    if (!block)
        return -ENOMEM;
    if (!old)
        move_to(lb, block);
    lb->block = block;
    return 0;
}

int linebuf_read(struct linebuf *lb, int fd)
{
    if (lb->begin == lb->end)
        empty(lb);
    /* Small until a read fills it, so that idle connections stay small. */
    size_t least = lb->keep > LINEBUF_MIN / 2 ? lb->keep : LINEBUF_MIN / 2;
    /* What has been filled may have been given back, or be held by others. */
    size_t want = lb->filled && capacity(lb) > least ? capacity(lb) : least;
    int r = linebuf_reserve(lb, want < LINEBUF_CHUNK ? want : LINEBUF_CHUNK);
    if (r < 0)
        return r;
    size_t room = lb->block->cap - lb->end;
    for (;;) {
        ssize_t n = read(fd, lb->block->data + lb->end, room);
        if (n > 0) {
            lb->end += (uint32_t)n;
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
    memcpy(lb->block->data + lb->end, bytes, n);
    lb->end += (uint32_t)n;
    return 0;
}

int linebuf_next(struct linebuf *lb, struct slice *line)
{
    const char *from = lb->block ? lb->block->data + lb->scanned : NULL;
    const char *nl = from ? memchr(from, '\n', lb->end - lb->scanned) : NULL;
    if (!nl) {
        lb->scanned = lb->end;
        /* One byte more, because the last one may be the "\r" of the line's end. */
        return lb->end - lb->begin > lb->max_line_bytes + 1 ? LINEBUF_TOO_LONG : LINEBUF_NONE;
    }
    const char *start = lb->block->data + lb->begin;
    size_t n = (size_t)(nl - start);
    if (n > 0 && start[n - 1] == '\r')
        n--;
    if (n > lb->max_line_bytes)
        return LINEBUF_TOO_LONG;
    *line = (struct slice){start, n};
    lb->begin = lb->scanned = (uint32_t)(nl - lb->block->data) + 1;
    return LINEBUF_OK;
}

void linebuf_skip(struct linebuf *lb, size_t n)
{
    lb->begin += (uint32_t)n;
    if (lb->scanned < lb->begin)
        lb->scanned = lb->begin;
}

void linebuf_trim(struct linebuf *lb)
{
    if (lb->begin == lb->end)
        empty(lb);
}

bool linebuf_has(const struct linebuf *lb, const char *p)
{
    uintptr_t begin = lb->block ? (uintptr_t)lb->block->data : 0, at = (uintptr_t)p;
    return begin && at >= begin && at < begin + lb->end;
}

struct block *linebuf_block(const struct linebuf *lb, struct slice line)
{
    /* No line makes a buffer four times as large as it is, but a longer one before it may have. */
    bool worth_it =
        line.n >= LINEBUF_LONG && linebuf_has(lb, line.p) && line.n >= lb->block->cap / 4;
    /* Of "\r\n" the first is not the line's, and not the newline. */
    return worth_it && line.p[line.n] == '\n' ? lb->block : NULL;
}

size_t linebuf_pending(const struct linebuf *lb)
{
    return lb->end - lb->begin;
}

struct slice linebuf_rest(const struct linebuf *lb)
{
    if (lb->begin == lb->end)
        return SLICE_NULL;
    return (struct slice){lb->block->data + lb->begin, lb->end - lb->begin};
}
