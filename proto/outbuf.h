/* Bytes on their way out through a descriptor that takes them when it likes. */
#ifndef PROTO_OUTBUF_H
#define PROTO_OUTBUF_H

#include "proto/block.h"

struct outbuf_part;

struct outbuf {
    struct outbuf_part *first, *last; /* what goes out before `data`, see outbuf_splice */
    size_t parts_bytes;               /* not yet written of those */
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
    return ob->parts_bytes + ob->end - ob->begin;
}

/* Makes room for n bytes, so that appending as many cannot fail. 0 or -ENOMEM. */
int outbuf_reserve(struct outbuf *ob, size_t n) CP_MUSTCHECK;

/* Appends a copy; room must have been reserved. */
void outbuf_put(struct outbuf *ob, struct slice bytes);

/* Reserves and appends `bytes` and a newline: all or nothing. 0 or -ENOMEM. */
int outbuf_line(struct outbuf *ob, struct slice bytes) CP_MUSTCHECK;

/* A line, with other bytes in place of line[at, at+len). */
struct splice {
    struct slice line;
    size_t at, len;
    struct slice instead;
    struct block *block; /* see linebuf_block; NULL: the line is copied */
};

static inline size_t splice_len(const struct splice *s)
{
    return s->line.n - s->len + s->instead.n;
}

/* Appends `head`, then the line, then `tail`, which is a newline or nothing; what follows `at` is
 * not copied if it is in a block and most of the line, and the block is then held until it is
 * written. All or nothing: 0 or -ENOMEM. */
int outbuf_splice(struct outbuf *ob, struct slice head, const struct splice *s,
                  struct slice tail) CP_MUSTCHECK;

/* Writes bytes past an empty buffer, without a copy. How many the descriptor took: where that is
 * not all, the rest goes into the buffer, whose flush finds what is wrong. */
size_t outbuf_write_through(int fd, struct slice bytes) CP_MUSTCHECK;

/* Writes as much as the descriptor takes. OUTBUF_EMPTY, OUTBUF_LEFT or -errno (-EPIPE when the
 * reader is gone; SIGPIPE must be ignored). */
int outbuf_flush(struct outbuf *ob, int fd) CP_MUSTCHECK;

#endif
