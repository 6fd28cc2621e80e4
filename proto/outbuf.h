/* Bytes on their way out through a descriptor that takes them when it likes. */
#ifndef PROTO_OUTBUF_H
#define PROTO_OUTBUF_H

#include "proto/base.h"

struct outbuf {
    char *data;
    size_t cap;
    size_t begin; /* first byte not yet written */
    size_t end;
    size_t keep; /* an emptied buffer of so many bytes is not given back; 0 unless it is set */
};

enum {
    OUTBUF_EMPTY = 0, /* everything is written */
    OUTBUF_LEFT = 1,  /* the descriptor takes no more now */
};

void outbuf_init(struct outbuf *ob);
void outbuf_deinit(struct outbuf *ob);

/* Bytes not yet written. */
static inline size_t outbuf_len(const struct outbuf *ob)
{
    return ob->end - ob->begin;
}

/* Makes room for n bytes, so that appending as many cannot fail. 0 or -ENOMEM. */
int outbuf_reserve(struct outbuf *ob, size_t n) CP_MUSTCHECK;

/* Appends a copy; room must have been reserved. */
void outbuf_put(struct outbuf *ob, struct slice bytes);

/* Reserves and appends `bytes` and a newline: all or nothing. 0 or -ENOMEM. */
int outbuf_line(struct outbuf *ob, struct slice bytes) CP_MUSTCHECK;

/* Writes bytes past an empty buffer, without a copy. How many the descriptor took: where that is
 * not all, the rest goes into the buffer, whose flush finds what is wrong. */
size_t outbuf_write_through(int fd, struct slice bytes) CP_MUSTCHECK;

/* Writes as much as the descriptor takes. OUTBUF_EMPTY, OUTBUF_LEFT or -errno (-EPIPE when the
 * reader is gone; SIGPIPE must be ignored). */
int outbuf_flush(struct outbuf *ob, int fd) CP_MUSTCHECK;

#endif
