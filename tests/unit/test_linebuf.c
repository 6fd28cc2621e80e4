#include "proto/linebuf.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Takes all lines there are, each written to *out in angle brackets. */
static int take_all(struct linebuf *lb, char *out)
{
    struct slice line;
    int r;
    while ((r = linebuf_next(lb, &line)) == LINEBUF_OK)
        out += sprintf(out, "<%.*s>", (int)line.n, line.n ? line.p : "");
    return r;
}

static size_t capacity(const struct linebuf *lb)
{
    return lb->block ? lb->block->cap : 0;
}

static void push(struct linebuf *lb, const char *bytes, size_t n)
{
    ck_assert_int_eq(linebuf_push(lb, bytes, n), 0);
}

static const char text[] = "one\ntwo\r\n\n\r\nfive\r\r\n\rsix\nrest";
static const char lines[] = "<one><two><><><five\r><\rsix>";

START_TEST(splits_at_every_byte)
{
    for (size_t at = 0; at < sizeof(text); at++) {
        struct linebuf lb;
        char got[128] = "";
        linebuf_init(&lb, 100);
        push(&lb, text, at);
        ck_assert_int_eq(take_all(&lb, got), LINEBUF_NONE);
        push(&lb, text + at, sizeof(text) - 1 - at);
        ck_assert_int_eq(take_all(&lb, got + strlen(got)), LINEBUF_NONE);
        ck_assert_str_eq(got, lines);
        ck_slice(linebuf_rest(&lb), "rest");
        ck_assert_uint_eq(linebuf_pending(&lb), 4);
        linebuf_deinit(&lb);
    }
}
END_TEST

START_TEST(takes_one_byte_at_a_time)
{
    struct linebuf lb;
    char got[128] = "";
    linebuf_init(&lb, 100);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        push(&lb, text + i, 1);
        (void)take_all(&lb, got + strlen(got));
    }
    ck_assert_str_eq(got, lines);
    linebuf_deinit(&lb);
}
END_TEST

START_TEST(is_empty_at_first)
{
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, 100);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_NONE);
    ck_assert_uint_eq(linebuf_pending(&lb), 0);
    ck_none(linebuf_rest(&lb));
    push(&lb, "", 0);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_NONE);
    linebuf_deinit(&lb);
    linebuf_deinit(&lb);
}
END_TEST

START_TEST(a_nul_is_a_byte_like_others)
{
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, 100);
    push(&lb, "a\0b\n", 4);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_assert_uint_eq(line.n, 3);
    ck_assert_mem_eq(line.p, "a\0b", 3);
    linebuf_deinit(&lb);
}
END_TEST

/* Pushes n times "x" and an ending into a buffer with a limit of 8. */
static int with_limit(size_t n, const char *ending)
{
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, 8);
    for (size_t i = 0; i < n; i++)
        push(&lb, "x", 1);
    push(&lb, ending, strlen(ending));
    int r = linebuf_next(&lb, &line);
    if (r == LINEBUF_OK)
        ck_assert_uint_eq(line.n, n);
    /* It does not become shorter by asking again. */
    if (r == LINEBUF_TOO_LONG)
        ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_TOO_LONG);
    linebuf_deinit(&lb);
    return r;
}

START_TEST(a_line_may_be_as_long_as_the_limit)
{
    ck_assert_int_eq(with_limit(7, "\n"), LINEBUF_OK);
    ck_assert_int_eq(with_limit(8, "\n"), LINEBUF_OK);
    ck_assert_int_eq(with_limit(9, "\n"), LINEBUF_TOO_LONG);
    ck_assert_int_eq(with_limit(7, "\r\n"), LINEBUF_OK);
    ck_assert_int_eq(with_limit(8, "\r\n"), LINEBUF_OK);
    ck_assert_int_eq(with_limit(9, "\r\n"), LINEBUF_TOO_LONG);
}
END_TEST

START_TEST(a_line_in_progress_is_stopped)
{
    ck_assert_int_eq(with_limit(8, ""), LINEBUF_NONE);
    /* The last byte may be the first half of the line's end. */
    ck_assert_int_eq(with_limit(8, "\r"), LINEBUF_NONE);
    ck_assert_int_eq(with_limit(10, ""), LINEBUF_TOO_LONG);
    ck_assert_int_eq(with_limit(1000, ""), LINEBUF_TOO_LONG);
}
END_TEST

START_TEST(the_limit_is_each_lines)
{
    struct linebuf lb;
    char got[64] = "";
    linebuf_init(&lb, 4);
    push(&lb, "1234\n1234\r\n1\n1234\n12345\n", 25);
    ck_assert_int_eq(take_all(&lb, got), LINEBUF_TOO_LONG);
    ck_assert_str_eq(got, "<1234><1234><1><1234>");
    linebuf_deinit(&lb);
}
END_TEST

START_TEST(lines_stay_until_the_next_read)
{
    struct linebuf lb;
    struct slice first, second;
    linebuf_init(&lb, 100);
    push(&lb, "first\nsecond\n", 13);
    ck_assert_int_eq(linebuf_next(&lb, &first), LINEBUF_OK);
    ck_assert_int_eq(linebuf_next(&lb, &second), LINEBUF_OK);
    ck_slice(first, "first");
    ck_slice(second, "second");
    linebuf_deinit(&lb);
}
END_TEST

START_TEST(reads_a_descriptor)
{
    struct linebuf lb;
    struct slice line;
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    linebuf_init(&lb, 100);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_AGAIN);
    ck_assert_int_eq(write(fds[1], "a line\nhalf", 11), 11);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_OK);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_AGAIN);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_slice(line, "a line");
    close(fds[1]);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_EOF);
    ck_slice(linebuf_rest(&lb), "half");
    close(fds[0]);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), -EBADF);
    linebuf_deinit(&lb);
}
END_TEST

/* Three lines of 3 MB through a socket, whose reader and writer take turns. */
START_TEST(grows_and_shrinks)
{
    enum { LINE = 3000000 };
    struct linebuf lb;
    struct slice line;
    int fds[2], got = 0;
    size_t sent = 0;
    char *all = malloc(3 * LINE);
    for (size_t i = 0; i < 3 * LINE; i++)
        all[i] = (i + 1) % LINE ? (char)('a' + i / LINE) : '\n';
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    linebuf_init(&lb, LINE);
    while (got < 3) {
        ssize_t n = write(fds[1], all + sent, 3 * LINE - sent);
        sent += n > 0 ? (size_t)n : 0;
        int r = linebuf_read(&lb, fds[0]);
        ck_assert(r == LINEBUF_OK || r == LINEBUF_AGAIN);
        while ((r = linebuf_next(&lb, &line)) == LINEBUF_OK) {
            ck_assert_uint_eq(line.n, LINE - 1);
            ck_assert_mem_eq(line.p, all + got * LINE, LINE - 1);
            got++;
        }
        ck_assert_int_eq(r, LINEBUF_NONE);
    }
    ck_assert_uint_gt(capacity(&lb), LINE);
    ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_AGAIN);
    ck_assert_uint_lt(capacity(&lb), LINE); /* who waits costs little */
    linebuf_deinit(&lb);
    close(fds[0]);
    close(fds[1]);
    free(all);
}
END_TEST

START_TEST(an_idle_reader_is_small)
{
    struct linebuf lb;
    struct slice line;
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    linebuf_init(&lb, 100);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(write(fds[1], "twelve bytes\n", 13), 13);
        ck_assert_int_eq(linebuf_read(&lb, fds[0]), LINEBUF_OK);
        ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
        ck_slice(line, "twelve bytes");
    }
    ck_assert_uint_le(capacity(&lb), 4096);
    linebuf_deinit(&lb);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Large reads while they are filled; what they took is given back after the last one. */
START_TEST(a_burst_leaves_little)
{
    enum { LINE = 1000, BURST = 60 * LINE };
    struct linebuf lb;
    struct slice line;
    static char all[BURST];
    size_t largest = 0, got = 0;
    int fds[2];
    for (size_t i = 0; i < BURST; i++)
        all[i] = (i + 1) % LINE ? 'x' : '\n';
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    ck_assert_int_eq(write(fds[1], all, BURST), BURST);
    linebuf_init(&lb, LINE);
    while (linebuf_read(&lb, fds[0]) == LINEBUF_OK) {
        while (linebuf_next(&lb, &line) == LINEBUF_OK)
            got += line.n + 1;
        largest = capacity(&lb) > largest ? capacity(&lb) : largest;
        linebuf_trim(&lb);
    }
    ck_assert_uint_eq(got, BURST);
    ck_assert_uint_gt(largest, 16384);
    ck_assert_uint_le(capacity(&lb), 16384);
    linebuf_deinit(&lb);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* A read that fills a large buffer to its last byte, which ends a line: nothing is left, the buffer
 * is given back, and still the next read has room. */
START_TEST(a_line_may_end_where_the_room_does)
{
    enum { SMALL = 1024, LARGE = 4 * 1024 * 1024 };
    struct linebuf lb;
    struct slice line;
    char *all = malloc(LARGE);
    ck_assert_ptr_nonnull(all);
    memset(all, 'x', LARGE);
    for (size_t n = SMALL; n <= LARGE; n *= 2) {
        int fd = memfd_create("lines", MFD_CLOEXEC), got = 0;
        all[n - 1] = '\n';
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(write(fd, all, n), n);
        ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
        all[n - 1] = 'x';
        linebuf_init(&lb, LARGE);
        while (linebuf_read(&lb, fd) == LINEBUF_OK) {
            for (; linebuf_next(&lb, &line) == LINEBUF_OK; got++)
                ck_assert_uint_eq(line.n, n - 1);
            linebuf_trim(&lb);
        }
        ck_assert_int_eq(got, 3);
        linebuf_deinit(&lb);
        close(fd);
    }
    free(all);
}
END_TEST

START_TEST(bytes_are_taken_without_lines)
{
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, 100);
    ck_assert_int_eq(linebuf_push(&lb, "GET x\n\nab", 9), 0);
    ck_slice(linebuf_rest(&lb), "GET x\n\nab");
    linebuf_skip(&lb, 7);
    ck_slice(linebuf_rest(&lb), "ab");
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_NONE);
    linebuf_skip(&lb, 1);
    ck_assert_int_eq(linebuf_push(&lb, "c\nd", 3), 0);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_slice(line, "bc");
    linebuf_skip(&lb, 1);
    ck_assert_uint_eq(linebuf_pending(&lb), 0);
    linebuf_deinit(&lb);
}
END_TEST

static void fill(struct linebuf *lb, char with, size_t n)
{
    char bytes[1000];
    memset(bytes, with, sizeof(bytes));
    for (size_t piece; n; n -= piece) {
        piece = n < sizeof(bytes) ? n : sizeof(bytes);
        push(lb, bytes, piece);
    }
}

static void ck_all(struct slice line, char is, size_t n)
{
    ck_assert_uint_eq(line.n, n);
    for (size_t i = 0; i < n; i++)
        if (line.p[i] != is)
            ck_abort_msg("byte %zu is %d", i, line.p[i]);
}

/* Whatever arrives later: nothing of a line that somebody holds moves or changes. */
START_TEST(a_held_line_stays)
{
    enum { LONG = 300000, REST = 5000 };
    struct linebuf lb;
    struct slice first, second;
    linebuf_init(&lb, LONG);
    fill(&lb, 'a', LONG);
    push(&lb, "\n", 1);
    fill(&lb, 'b', REST);
    ck_assert_int_eq(linebuf_next(&lb, &first), LINEBUF_OK);
    struct block *held = linebuf_block(&lb, first);
    ck_assert_ptr_nonnull(held);
    ck_assert(linebuf_has(&lb, first.p));
    block_hold(held);
    fill(&lb, 'b', LONG - REST);
    ck_assert(!linebuf_has(&lb, first.p));
    push(&lb, "\n", 1);
    ck_assert_int_eq(linebuf_next(&lb, &second), LINEBUF_OK);
    ck_all(second, 'b', LONG);
    ck_all(first, 'a', LONG);
    ck_assert_int_eq(first.p[LONG], '\n');
    ck_assert_ptr_ne(linebuf_block(&lb, second), held);
    linebuf_deinit(&lb);
    ck_all(first, 'a', LONG);
    block_drop(held);
}
END_TEST

/* Also where nothing is left: an emptied block that is held is no longer the buffer's. */
START_TEST(a_held_block_is_not_emptied)
{
    enum { LONG = 300000 };
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, LONG);
    lb.keep = (size_t)LONG * 4;
    fill(&lb, 'a', LONG);
    push(&lb, "\n", 1);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    struct block *held = block_hold(linebuf_block(&lb, line));
    linebuf_trim(&lb);
    ck_assert_uint_eq(capacity(&lb), 0);
    fill(&lb, 'b', LONG);
    ck_all(line, 'a', LONG);
    block_drop(held);
    linebuf_deinit(&lb);
}
END_TEST

START_TEST(what_is_not_worth_holding)
{
    enum { LONG = 300000 };
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, LONG);
    fill(&lb, 'a', 1000);
    push(&lb, "\n", 1);
    fill(&lb, 'b', LONG);
    push(&lb, "\r\n", 2);
    ck_assert_ptr_null(linebuf_block(&lb, SLICE("elsewhere")));
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_assert_ptr_null(linebuf_block(&lb, line));
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_assert_ptr_null(linebuf_block(&lb, line));
    linebuf_deinit(&lb);
    ck_assert(!linebuf_has(&lb, NULL));
}
END_TEST

/* Whoever held on to the second would keep the first in memory, too. */
START_TEST(a_line_behind_a_far_longer_one)
{
    enum { LONG = 300000, LONGER = 10 * LONG };
    struct linebuf lb;
    struct slice line;
    linebuf_init(&lb, LONGER);
    fill(&lb, 'a', LONGER);
    push(&lb, "\n", 1);
    fill(&lb, 'b', LONG);
    push(&lb, "\n", 1);
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_assert_ptr_nonnull(linebuf_block(&lb, line));
    ck_assert_int_eq(linebuf_next(&lb, &line), LINEBUF_OK);
    ck_all(line, 'b', LONG);
    ck_assert_ptr_null(linebuf_block(&lb, line));
    linebuf_deinit(&lb);
}
END_TEST

Suite *suite_linebuf(void)
{
    const TTest *const tests[] = {
        splits_at_every_byte,
        takes_one_byte_at_a_time,
        is_empty_at_first,
        a_nul_is_a_byte_like_others,
        a_line_may_be_as_long_as_the_limit,
        a_line_in_progress_is_stopped,
        the_limit_is_each_lines,
        lines_stay_until_the_next_read,
        reads_a_descriptor,
        grows_and_shrinks,
        an_idle_reader_is_small,
        a_burst_leaves_little,
        a_line_may_end_where_the_room_does,
        bytes_are_taken_without_lines,
        a_held_line_stays,
        a_held_block_is_not_emptied,
        what_is_not_worth_holding,
        a_line_behind_a_far_longer_one,
        NULL,
    };
    return unit_suite("linebuf", tests);
}
