/* The line reader, against the same rules applied to the whole text at once.
 *
 * Byte 0: the longest line; byte 1: how much arrives at a time, and whether by a pipe; then the
 * text. */
#include "proto/linebuf.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>

/* Where the rules say that reading stands. */
struct reference {
    struct slice text; /* not yet taken */
    size_t max;
};

static size_t end_of_line(struct slice text, const char *newline)
{
    size_t n = newline ? (size_t)(newline - text.p) : text.n;
    return n && newline && text.p[n - 1] == '\r' ? n - 1 : n;
}

/* The next whole line of all the text; LINEBUF_NONE: there is none, LINEBUF_TOO_LONG: it is too
 * long. */
static int reference_next(struct reference *r, struct slice *line)
{
    const char *newline = r->text.n ? memchr(r->text.p, '\n', r->text.n) : NULL;
    size_t n = end_of_line(r->text, newline);
    if (!newline)
        return n > r->max + 1 ? LINEBUF_TOO_LONG : LINEBUF_NONE;
    if (n > r->max)
        return LINEBUF_TOO_LONG;
    *line = (struct slice){r->text.p, n};
    size_t used = (size_t)(newline - r->text.p) + 1;
    r->text = (struct slice){r->text.p + used, r->text.n - used};
    return LINEBUF_OK;
}

/* False once a line is too long: then nothing is taken any more. */
static bool take_lines(struct linebuf *lb, struct reference *r)
{
    struct slice line, expected;
    int got;
    while ((got = linebuf_next(lb, &line)) == LINEBUF_OK) {
        MUST(reference_next(r, &expected) == LINEBUF_OK, "a line that is none");
        MUST(slice_eq(line, expected), "another line");
    }
    if (got == LINEBUF_TOO_LONG)
        MUST(reference_next(r, &expected) == LINEBUF_TOO_LONG, "the line is not too long");
    linebuf_trim(lb);
    return got == LINEBUF_NONE;
}

static void arrive(struct linebuf *lb, const int *fds, struct slice piece, bool by_pipe)
{
    if (!by_pipe) {
        MUST(linebuf_push(lb, piece.p, piece.n) == 0, "out of memory");
        return;
    }
    MUST(write(fds[1], piece.p, piece.n) == (ssize_t)piece.n, "a full pipe");
    size_t before = linebuf_pending(lb);
    while (linebuf_pending(lb) - before < piece.n)
        MUST(linebuf_read(lb, fds[0]) == LINEBUF_OK, "what was written is not read");
    MUST(linebuf_read(lb, fds[0]) == LINEBUF_AGAIN, "more than was written is read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct linebuf lb;
    struct slice rest;
    int fds[2];
    if (size < 2)
        return 0;
    bool by_pipe = data[1] & 1, open = true;
    size_t step = (size_t)data[1] * (data[1] & 2 ? 64 : 1) / 2 + 1;
    struct reference r = {{(const char *)data + 2, size - 2}, data[0]};
    MUST(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
    linebuf_init(&lb, r.max);
    for (size_t at = 2; at < size && open; at += step) {
        size_t n = size - at < step ? size - at : step;
        arrive(&lb, fds, (struct slice){(const char *)data + at, n}, by_pipe);
        open = take_lines(&lb, &r);
    }
    if (open) {
        MUST(reference_next(&r, &rest) == LINEBUF_NONE, "a line was left");
        MUST(slice_eq(linebuf_rest(&lb), r.text), "another rest");
        MUST(linebuf_pending(&lb) == r.text.n, "another number of bytes");
    }
    linebuf_deinit(&lb);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}
