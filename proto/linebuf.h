/* Bytes that arrive in pieces, taken out as lines. */
#ifndef PROTO_LINEBUF_H
#define PROTO_LINEBUF_H

#include "proto/block.h"

struct linebuf {
    struct block *block; /* the bytes; NULL: none yet */
    uint32_t begin;      /* first byte not yet taken as a line */
    uint32_t scanned;    /* no newline in [begin, scanned) */
    uint32_t end;        /* one past the last byte read */
    uint32_t max_line_bytes;
    uint32_t keep; /* an empty buffer of so many bytes is not given back; 0 unless it is set */
    bool filled;   /* the last read took all the room there was */
};

enum {
    LINEBUF_OK = 0,
    LINEBUF_NONE = 1,     /* no whole line yet */
    LINEBUF_TOO_LONG = 2, /* the line in progress is longer than max_line_bytes */
    LINEBUF_EOF = 3,
    LINEBUF_AGAIN = 4, /* nothing to read now */
};

/* No buffer has more bytes; half of it is the longest line that may be allowed. */
#define LINEBUF_MAX (UINT32_C(1) << 31)

/* Allocates nothing yet. A line may have max_line_bytes bytes, its newline not counted. */
void linebuf_init(struct linebuf *lb, size_t max_line_bytes);
void linebuf_deinit(struct linebuf *lb);

/* Reads once from a descriptor (blocking or not, EINTR is retried).
 * Returns LINEBUF_OK, LINEBUF_AGAIN, LINEBUF_EOF or -errno; -ENOMEM loses nothing.
 * Invalidates every line taken before. */
int linebuf_read(struct linebuf *lb, int fd) CP_MUSTCHECK;

/* Appends bytes as if they had been read. 0 or -ENOMEM. */
int linebuf_push(struct linebuf *lb, const void *bytes, size_t n) CP_MUSTCHECK;

/* Takes the next line, without its "\n" or "\r\n"; *line is borrowed until the next read or push.
 * Returns LINEBUF_OK, LINEBUF_NONE or LINEBUF_TOO_LONG. */
int linebuf_next(struct linebuf *lb, struct slice *line) CP_MUSTCHECK;

/* True if the bytes at p are in the buffer. */
bool linebuf_has(const struct linebuf *lb, const char *p);

/* The block that a line taken from here is in, newline and all, where the line is long enough, and
 * enough of it, to be held on to rather than copied, for whoever wants to hold the block; else
 * NULL. */
struct block *linebuf_block(const struct linebuf *lb, struct slice line);

/* Takes n of the pending bytes out, whatever they are: for who reads them by linebuf_rest. */
void linebuf_skip(struct linebuf *lb, size_t n);

/* Gives back what a long line has taken, if nothing is left in the buffer. Invalidates every line
 * taken before. */
void linebuf_trim(struct linebuf *lb);

/* Bytes read and not taken. */
size_t linebuf_pending(const struct linebuf *lb);

/* What is left without a newline at the end of input; borrowed as above. */
struct slice linebuf_rest(const struct linebuf *lb);

#endif
