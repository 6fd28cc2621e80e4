/* Standard output that never blocks: a terminal's, a pipe's, a socket's or a file's.
 *
 * No descriptor is made non-blocking for it, because others may share it (the shell its
 * terminal): a socket is asked per call, and a pipe takes PIPE_BUF bytes when it is writable. */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include "proto/outbuf.h"

/* Past this, nothing that would add to it is read. */
#define OUTPUT_HIGH ((size_t)256 * 1024)

struct output {
    int fd;
    struct outbuf pending;
};

void output_init(struct output *o, int fd);
void output_deinit(struct output *o);

/* 0 or -ENOMEM. */
int output_put(struct output *o, struct slice bytes) CP_MUSTCHECK;

/* Writes something, after poll has said that it can. 0 or -errno (-EPIPE: nobody reads). */
int output_some(struct output *o) CP_MUSTCHECK;

static inline bool output_full(const struct output *o)
{
    return outbuf_len(&o->pending) >= OUTPUT_HIGH;
}

/* One write as above of up to n bytes: how many it took, 0 if none now, or -errno. */
ssize_t output_write(int fd, const char *p, size_t n) CP_MUSTCHECK;

#endif
