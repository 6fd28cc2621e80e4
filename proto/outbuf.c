#include "proto/outbuf.h"

#include <errno.h>
#include <sys/uio.h>

#define OUTBUF_MIN ((size_t)1024)

/* Bytes of its own, then some of a block's. */
struct outbuf_part {
    struct outbuf_part *next;
    char *data;
    size_t begin, end; /* not yet written of them */
    struct block *block;
    struct slice rest; /* not yet written of the block's */
};

void outbuf_init(struct outbuf *ob)
{
    *ob = (struct outbuf){0};
}

static void drop_first(struct outbuf *ob)
{
    struct outbuf_part *p = ob->first;
    ob->first = p->next;
    if (!ob->first)
        ob->last = NULL;
    block_drop(p->block);
    free(p->data);
    free(p);
}

void outbuf_deinit(struct outbuf *ob)
{
    while (ob->first)
        drop_first(ob);
    free(ob->data);
    *ob = (struct outbuf){0};
}

int outbuf_reserve(struct outbuf *ob, size_t n)
{
    if (ob->cap - ob->end >= n)
        return 0;
    size_t len = ob->end - ob->begin;
    /* Moving is worth it only where what is written is at least as much as what is left. */
    if (ob->begin >= len && ob->cap - len >= n) {
        if (len)
            memmove(ob->data, ob->data + ob->begin, len);
        ob->begin = 0;
        ob->end = len;
        return 0;
    }
    if (n > SIZE_MAX / 4 || len > SIZE_MAX / 4)
        return -ENOMEM;
    size_t cap = ob->cap ? ob->cap : OUTBUF_MIN;
    while (cap - len < n)
        cap *= 2;
    char *data = malloc(cap);
    if (!data)
        return -ENOMEM;
    if (len)
        memcpy(data, ob->data + ob->begin, len);
    free(ob->data);
    ob->data = data;
    ob->cap = cap;
    ob->begin = 0;
    ob->end = len;
    return 0;
}

void outbuf_put(struct outbuf *ob, struct slice bytes)
{
    if (!bytes.n)
        return;
    memcpy(ob->data + ob->end, bytes.p, bytes.n);
    ob->end += bytes.n;
}

int outbuf_line(struct outbuf *ob, struct slice bytes)
{
    int r = outbuf_reserve(ob, bytes.n + 1);
    if (r < 0)
        return r;
    outbuf_put(ob, bytes);
    outbuf_put(ob, SLICE("\n"));
    return 0;
}

/* What it has of its own goes out as a part from now on, with `rest` behind it. */
static void append_part(struct outbuf *ob, struct outbuf_part *p, struct block *block,
                        struct slice rest)
{
    *p = (struct outbuf_part){NULL, ob->data, ob->begin, ob->end, block_hold(block), rest};
    ob->parts_bytes += ob->end - ob->begin + rest.n;
    ob->data = NULL;
    ob->cap = ob->begin = ob->end = 0;
    if (ob->last)
        ob->last->next = p;
    else
        ob->first = p;
    ob->last = p;
}

int outbuf_splice(struct outbuf *ob, struct slice head, const struct splice *s, struct slice tail)
{
    struct slice before = {s->line.p, s->at};
    struct slice after = {s->line.p + s->at + s->len, s->line.n - s->at - s->len};
    /* Where most of it is copied, holding it as well takes memory twice. */
    bool held = s->block && after.n >= before.n;
    struct outbuf_part *part = held ? malloc(sizeof(*part)) : NULL;
    size_t copied = head.n + before.n + s->instead.n + (held ? 0 : after.n + tail.n);
    if ((held && !part) || outbuf_reserve(ob, copied) < 0) {
        free(part);
        return -ENOMEM;
    }
    outbuf_put(ob, head);
    outbuf_put(ob, before);
    outbuf_put(ob, s->instead);
    if (held) {
        /* In the block its newline follows it. */
        append_part(ob, part, s->block, (struct slice){after.p, after.n + tail.n});
        return 0;
    }
    outbuf_put(ob, after);
    outbuf_put(ob, tail);
    return 0;
}

/* Into *taken, how many bytes. 0, or the errno that stopped it. */
static int write_all(int fd, struct slice bytes, size_t *taken)
{
    *taken = 0;
    while (*taken < bytes.n) {
        ssize_t n = write(fd, bytes.p + *taken, bytes.n - *taken);
        if (n >= 0)
            *taken += (size_t)n;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

size_t outbuf_write_through(int fd, struct slice bytes)
{
    size_t taken;
    (void)write_all(fd, bytes, &taken);
    return taken;
}

/* n bytes of the first part are written. */
static void count_written(struct outbuf *ob, size_t n)
{
    struct outbuf_part *p = ob->first;
    size_t own = p->end - p->begin < n ? p->end - p->begin : n;
    ob->parts_bytes -= n;
    p->begin += own;
    p->rest = (struct slice){p->rest.p + n - own, p->rest.n - (n - own)};
}

/* 0, or the errno that stopped it. */
static int write_parts(struct outbuf *ob, int fd)
{
    struct outbuf_part *p;
    while ((p = ob->first)) {
        struct iovec pieces[] = {{p->data ? p->data + p->begin : NULL, p->end - p->begin},
                                 {(char *)(uintptr_t)p->rest.p, p->rest.n}};
        ssize_t n = writev(fd, pieces, ARRAY_LEN(pieces));
        if (n >= 0)
            count_written(ob, (size_t)n);
        else if (errno != EINTR)
            return errno;
        if (p->begin == p->end && !p->rest.n)
            drop_first(ob);
    }
    return 0;
}

int outbuf_flush(struct outbuf *ob, int fd)
{
    size_t taken = 0;
    int error = write_parts(ob, fd);
    if (!error && ob->begin < ob->end)
        error = write_all(fd, (struct slice){ob->data + ob->begin, ob->end - ob->begin}, &taken);
    ob->begin += taken;
    if (error == EAGAIN || error == EWOULDBLOCK)
        return OUTBUF_LEFT;
    if (error)
        return -error;
    ob->begin = ob->end = 0;
    if (ob->cap > ob->keep) {
        free(ob->data);
        ob->data = NULL;
        ob->cap = 0;
    }
    return OUTBUF_EMPTY;
}
