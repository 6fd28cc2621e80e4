#include "proto/outbuf.h"

#include <errno.h>

#define OUTBUF_MIN ((size_t)1024)

void outbuf_init(struct outbuf *ob)
{
    *ob = (struct outbuf){0};
}

void outbuf_deinit(struct outbuf *ob)
{
    free(ob->data);
    *ob = (struct outbuf){0};
}

int outbuf_reserve(struct outbuf *ob, size_t n)
{
    if (ob->cap - ob->end >= n)
        return 0;
    size_t len = outbuf_len(ob);
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

int outbuf_flush(struct outbuf *ob, int fd)
{
    size_t taken = 0;
    int error = !outbuf_len(ob)
                    ? 0
                    : write_all(fd, (struct slice){ob->data + ob->begin, outbuf_len(ob)}, &taken);
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
