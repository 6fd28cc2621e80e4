#include "proto/outbuf.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void make_pipe(int fds[2])
{
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

START_TEST(writes_lines)
{
    struct outbuf ob;
    int fds[2];
    char got[64] = "";
    make_pipe(fds);
    outbuf_init(&ob);
    ck_assert_int_eq(outbuf_flush(&ob, fds[1]), OUTBUF_EMPTY);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("one")), 0);
    ck_assert_int_eq(outbuf_line(&ob, SLICE_NULL), 0);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("three")), 0);
    ck_assert_uint_eq(outbuf_len(&ob), 11);
    ck_assert_int_eq(outbuf_flush(&ob, fds[1]), OUTBUF_EMPTY);
    ck_assert_uint_eq(outbuf_len(&ob), 0);
    ck_assert_int_eq(read(fds[0], got, sizeof(got)), 11);
    ck_assert_str_eq(got, "one\n\nthree\n");
    outbuf_deinit(&ob);
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Reads whatever there is; every byte must be the next of 0, 1, 2, … modulo 251. */
static size_t read_pattern(int fd, size_t already)
{
    unsigned char got[7001];
    ssize_t n;
    while ((n = read(fd, got, sizeof(got))) > 0)
        for (ssize_t i = 0; i < n; i++)
            ck_assert_uint_eq(got[i], already++ % 251);
    return already;
}

/* A reader slower than the writer: nothing is lost, doubled or out of order. */
START_TEST(keeps_what_is_not_taken)
{
    enum { TOTAL = 2000000, PIECE = 9973 };
    struct outbuf ob;
    unsigned char piece[PIECE];
    int fds[2], left = 0;
    size_t put = 0, taken = 0;
    make_pipe(fds);
    outbuf_init(&ob);
    while (taken < TOTAL) {
        for (int i = 0; i < 3 && put < TOTAL; i++) {
            size_t n = put + PIECE < TOTAL ? PIECE : TOTAL - put;
            for (size_t k = 0; k < n; k++)
                piece[k] = (unsigned char)((put + k) % 251);
            ck_assert_int_eq(outbuf_reserve(&ob, n), 0);
            outbuf_put(&ob, (struct slice){(char *)piece, n});
            put += n;
        }
        int r = outbuf_flush(&ob, fds[1]);
        ck_assert(r == OUTBUF_EMPTY || r == OUTBUF_LEFT);
        ck_assert_int_eq(r == OUTBUF_EMPTY, outbuf_len(&ob) == 0);
        left += r == OUTBUF_LEFT;
        if (left % 3 == 1 || put == TOTAL)
            taken = read_pattern(fds[0], taken);
        left += 1;
    }
    ck_assert_uint_eq(taken, TOTAL);
    ck_assert_uint_eq(outbuf_len(&ob), 0);
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(does_not_grow_while_it_moves_on)
{
    struct outbuf ob;
    int fds[2];
    char bytes[3000] = {0};
    make_pipe(fds);
    outbuf_init(&ob);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(outbuf_line(&ob, (struct slice){bytes, sizeof(bytes)}), 0);
        ck_assert_int_eq(outbuf_flush(&ob, fds[1]), OUTBUF_EMPTY);
        while (read(fds[0], bytes, sizeof(bytes)) > 0)
            ;
    }
    ck_assert_uint_le(ob.cap, 4096);
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(gives_back_a_large_buffer)
{
    struct outbuf ob;
    int null = open("/dev/null", O_WRONLY);
    outbuf_init(&ob);
    ck_assert_int_eq(outbuf_reserve(&ob, 1000000), 0);
    ck_assert_uint_ge(ob.cap, 1000000);
    outbuf_put(&ob, SLICE("x"));
    ck_assert_int_eq(outbuf_flush(&ob, null), OUTBUF_EMPTY);
    ck_assert_uint_le(ob.cap, 16 * 1024);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("again")), 0);
    ck_assert_uint_eq(outbuf_len(&ob), 6);
    outbuf_deinit(&ob);
    close(null);
}
END_TEST

START_TEST(says_when_nobody_reads)
{
    struct outbuf ob;
    int fds[2];
    make_pipe(fds);
    close(fds[0]);
    outbuf_init(&ob);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("gone")), 0);
    ck_assert_int_eq(outbuf_flush(&ob, fds[1]), -EPIPE);
    ck_assert_int_eq(outbuf_flush(&ob, -1), -EBADF);
    outbuf_deinit(&ob);
    close(fds[1]);
}
END_TEST

START_TEST(refuses_the_impossible)
{
    struct outbuf ob;
    outbuf_init(&ob);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("stays")), 0);
    ck_assert_int_eq(outbuf_reserve(&ob, SIZE_MAX), -ENOMEM);
    ck_assert_int_eq(outbuf_reserve(&ob, SIZE_MAX / 2), -ENOMEM);
    ck_assert_uint_eq(outbuf_len(&ob), 6);
    outbuf_deinit(&ob);
}
END_TEST

/* Held lines among copied ones, to a reader that takes a little at a time: all in order. */
START_TEST(splices_what_is_held)
{
    enum { LONG = 300000, ROUNDS = 5 };
    static char expected[ROUNDS * (LONG + 100)], got[sizeof(expected)];
    struct outbuf ob;
    struct block *b = block_grow(NULL, LONG + 1);
    size_t n = 0, read_n = 0;
    int fds[2], r = OUTBUF_LEFT;
    make_pipe(fds);
    outbuf_init(&ob);
    ck_assert_ptr_nonnull(b);
    for (size_t i = 0; i < LONG; i++)
        b->data[i] = (char)('a' + i % 23);
    b->data[LONG] = '\n';
    for (int i = 0; i < ROUNDS; i++) {
        struct splice long_line = {{b->data, LONG}, 3, 2, SLICE("<new>"), b};
        struct splice short_line = {SLICE("in the end"), 3, 3, SLICE("an"), NULL};
        ck_assert_uint_eq(splice_len(&long_line), LONG + 3);
        ck_assert_int_eq(outbuf_splice(&ob, SLICE("head "), &long_line, SLICE("\n")), 0);
        ck_assert_int_eq(outbuf_splice(&ob, SLICE_NULL, &short_line, SLICE("\n")), 0);
        n += (size_t)sprintf(expected + n, "head abc<new>%.*sin an end\n", LONG - 5 + 1,
                             b->data + 5);
        ck_assert_uint_eq(outbuf_len(&ob), n);
    }
    ck_assert_uint_eq(b->holders, ROUNDS + 1);
    while (read_n < n) {
        if (r == OUTBUF_LEFT)
            r = outbuf_flush(&ob, fds[1]);
        ck_assert_int_ge(r, 0);
        ssize_t more = read(fds[0], got + read_n, 7919);
        ck_assert_int_gt(more, 0);
        read_n += (size_t)more;
    }
    ck_assert_int_eq(r, OUTBUF_EMPTY);
    ck_assert_int_eq(memcmp(got, expected, n), 0);
    ck_assert_uint_eq(b->holders, 1);
    block_drop(b);
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* A frame has no newline behind it, the block has. */
START_TEST(splices_without_a_newline)
{
    struct outbuf ob;
    struct block *b = block_grow(NULL, 5);
    int fds[2];
    char got[32] = "";
    make_pipe(fds);
    outbuf_init(&ob);
    ck_assert_ptr_nonnull(b);
    memcpy(b->data, "text\n", 5);
    struct splice s = {.line = {b->data, 4}, .block = b};
    ck_assert_int_eq(outbuf_splice(&ob, SLICE("#"), &s, SLICE_NULL), 0);
    ck_assert_int_eq(outbuf_line(&ob, SLICE("next")), 0);
    block_drop(b);
    ck_assert_int_eq(outbuf_flush(&ob, fds[1]), OUTBUF_EMPTY);
    ck_assert_int_eq(read(fds[0], got, sizeof(got)), 10);
    ck_assert_str_eq(got, "#textnext\n");
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Nothing is gained by a block of which little is left to write. */
START_TEST(copies_what_is_spliced_at_its_end)
{
    struct outbuf ob;
    struct block *b = block_grow(NULL, 9);
    int fds[2];
    char got[64] = "";
    make_pipe(fds);
    outbuf_init(&ob);
    ck_assert_ptr_nonnull(b);
    memcpy(b->data, "the text\n", 9);
    for (size_t at = 3; at < 7; at++) {
        struct splice s = {{b->data, 8}, at, 1, SLICE("-"), b};
        ck_assert_int_eq(outbuf_splice(&ob, SLICE_NULL, &s, SLICE("\n")), 0);
        ck_assert_uint_eq(b->holders, 1 + (at == 3));
        ck_assert_int_eq(outbuf_flush(&ob, fds[1]), OUTBUF_EMPTY);
        ck_assert_uint_eq(b->holders, 1);
    }
    ck_assert_int_eq(read(fds[0], got, sizeof(got)), 36);
    ck_assert_str_eq(got, "the-text\nthe -ext\nthe t-xt\nthe te-t\n");
    block_drop(b);
    outbuf_deinit(&ob);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(lets_go_of_what_is_not_written)
{
    struct outbuf ob;
    struct block *b = block_grow(NULL, 5);
    outbuf_init(&ob);
    ck_assert_ptr_nonnull(b);
    memcpy(b->data, "text\n", 5);
    struct splice s = {.line = {b->data, 4}, .block = b};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(outbuf_splice(&ob, SLICE_NULL, &s, SLICE("\n")), 0);
    ck_assert_uint_eq(b->holders, 4);
    outbuf_deinit(&ob);
    ck_assert_uint_eq(outbuf_len(&ob), 0);
    ck_assert_uint_eq(b->holders, 1);
    block_drop(b);
}
END_TEST

Suite *suite_outbuf(void)
{
    const TTest *const tests[] = {
        writes_lines,
        keeps_what_is_not_taken,
        does_not_grow_while_it_moves_on,
        gives_back_a_large_buffer,
        says_when_nobody_reads,
        refuses_the_impossible,
        splices_what_is_held,
        splices_without_a_newline,
        copies_what_is_spliced_at_its_end,
        lets_go_of_what_is_not_written,
        NULL,
    };
    return unit_suite("outbuf", tests);
}
