/* The line reader, against the same rules applied to the whole text at once.
 *
 * Byte 0: the longest line; byte 1: how much arrives at a time, whether by a pipe, and whether each
 * byte of the text that ends no line stands for thousands; then the text. Lines that are long
 * enough to be held are held to the end. */
#include "proto/linebuf.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>

#define TIMES 3000
/* Of the text, where bytes stand for many. */
#define TEXT_MAX 600
/* What a pipe takes at once. */
#define PIECE_MAX ((size_t)60 * 1024)
#define HELD_MAX 8

/* Lines that somebody has not written yet. */
struct held {
    struct block *blocks[HELD_MAX];
    struct slice lines[HELD_MAX], expected[HELD_MAX];
    size_t n;
};

static void hold(struct held *held, const struct linebuf *lb, struct slice line,
                 struct slice expected)
{
    struct block *block = linebuf_block(lb, line);
    if (!block || held->n == HELD_MAX)
        return;
    held->blocks[held->n] = block_hold(block);
    held->lines[held->n] = line;
    held->expected[held->n++] = expected;
}

static void let_go(struct held *held)
{
    for (size_t i = 0; i < held->n; i++) {
        MUST(slice_eq(held->lines[i], held->expected[i]), "a line that was held has changed");
        block_drop(held->blocks[i]);
    }
}

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
static bool take_lines(struct linebuf *lb, struct reference *r, struct held *held)
{
    struct slice line, expected;
    int got;
    while ((got = linebuf_next(lb, &line)) == LINEBUF_OK) {
        MUST(reference_next(r, &expected) == LINEBUF_OK, "a line that is none");
        MUST(slice_eq(line, expected), "another line");
        hold(held, lb, line, expected);
    }
    if (got == LINEBUF_TOO_LONG)
        MUST(reference_next(r, &expected) == LINEBUF_TOO_LONG, "the line is not too long");
    linebuf_trim(lb);
    return got == LINEBUF_NONE;
}

static void arrive_by_pipe(struct linebuf *lb, const int *fds, struct slice piece)
{
    MUST(write(fds[1], piece.p, piece.n) == (ssize_t)piece.n, "a full pipe");
    size_t before = linebuf_pending(lb);
    while (linebuf_pending(lb) - before < piece.n)
        MUST(linebuf_read(lb, fds[0]) == LINEBUF_OK, "what was written is not read");
    MUST(linebuf_read(lb, fds[0]) == LINEBUF_AGAIN, "more than was written is read");
}

/* The text, a heap string. Where a byte stands for many they change by and by, so that none can be
 * taken for another unseen. */
static struct slice unfold(const uint8_t *text, size_t n, size_t times)
{
    n = times > 1 && n > TEXT_MAX ? TEXT_MAX : n;
    char *unfolded = malloc(n * times + 1), *to = unfolded;
    MUST(unfolded, "out of memory");
    for (size_t i = 0; i < n; i++) {
        bool alone = text[i] == '\n' || text[i] == '\r';
        for (size_t j = 0; j < (alone ? 1 : times); j++)
            *to++ = (char)(alone ? text[i] : text[i] ^ (j & 0x40));
    }
    return (struct slice){unfolded, (size_t)(to - unfolded)};
}

static void run(struct reference *r, size_t step, bool by_pipe)
{
    struct linebuf lb;
    struct held held = {.n = 0};
    struct slice text = r->text, rest;
    bool open = true;
    int fds[2];
    MUST(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
    linebuf_init(&lb, r->max);
    for (size_t at = 0; at < text.n && open; at += step) {
        struct slice piece = {text.p + at, text.n - at < step ? text.n - at : step};
        if (by_pipe)
            arrive_by_pipe(&lb, fds, piece);
        else
            MUST(linebuf_push(&lb, piece.p, piece.n) == 0, "out of memory");
        open = take_lines(&lb, r, &held);
    }
    if (open) {
        MUST(reference_next(r, &rest) == LINEBUF_NONE, "a line was left");
        MUST(slice_eq(linebuf_rest(&lb), r->text), "another rest");
        MUST(linebuf_pending(&lb) == r->text.n, "another number of bytes");
    }
    linebuf_deinit(&lb);
    let_go(&held);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t times = data[1] & 4 ? TIMES : 1;
    size_t step = ((size_t)data[1] * (data[1] & 2 ? 64 : 1) / 2 + 1) * (times > 1 ? 97 : 1);
    struct slice text = unfold(data + 2, size - 2, times);
    struct reference r = {text, data[0] * (times > 1 ? 4 * times : 1)};
    run(&r, step < PIECE_MAX ? step : PIECE_MAX, data[1] & 1);
    free((char *)(uintptr_t)text.p);
    return 0;
}
