#include "client/output.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

void output_init(struct output *o, int fd)
{
    o->fd = fd;
    outbuf_init(&o->pending);
}

void output_deinit(struct output *o)
{
    outbuf_deinit(&o->pending);
}

int output_put(struct output *o, struct slice bytes)
{
    int r = outbuf_reserve(&o->pending, bytes.n);
    if (r == 0)
        outbuf_put(&o->pending, bytes);
    return r;
}

ssize_t output_write(int fd, const char *p, size_t n)
{
    ssize_t done = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno == ENOTSOCK)
        done = write(fd, p, n < PIPE_BUF ? n : PIPE_BUF);
    if (done >= 0)
        return done;
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

int output_some(struct output *o)
{
    struct outbuf *b = &o->pending;
    ssize_t n = output_write(o->fd, b->data + b->begin, outbuf_len(b));
    if (n < 0)
        return (int)n;
    b->begin += (size_t)n;
    if (b->begin == b->end)
        b->begin = b->end = 0;
    return 0;
}
