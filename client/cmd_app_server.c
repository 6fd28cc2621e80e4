/* `app-server`: standard input and output become a connection to the pool. Bytes go through
 * unread, unless there are overrides to be put into them; a side that does not take them stops the
 * other from being read. */
#include "client/cmd.h"
#include "client/overrides.h"
#include "client/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

const char cmd_app_server_help[] =
    "Is to a program what `codex app-server` is: JSON-RPC, one message a line, on\n"
    "standard input and output. Give it the path of codex-pool where it asks for that\n"
    "of codex. Every flag is accepted and ignored, since how workers run is the\n"
    "daemon's setting; but -c, --enable and --disable go along as the config of each\n"
    "thread that is opened here. What is not that server (generate-ts, proxy, daemon,\n"
    "another place to listen at, ...) is done by the codex in PATH.\n"
    "\n"
    "The end of standard input ends the connection, and with it what runs on it.\n"
    "\n"
    "exit: 0 standard input ended, or SIGTERM came; 1 nobody reads standard output;\n"
    "69 no daemon there, or it closed the connection; 130 SIGINT\n";

/* Bytes on their way from one descriptor to another. Read only when empty, so it stays bounded. */
struct flow {
    size_t begin, end;
    bool eof;    /* nothing more will be read */
    bool broken; /* nothing more can be written */
    char bytes[64 * 1024];
};

/* No limit of ours: the daemon has one. */
#define LINE_MAX_BYTES ((size_t)1024 * 1024 * 1024)

struct bridge {
    struct session session;
    struct overrides overrides;
    struct linebuf lines; /* with overrides: standard input */
    struct flow up;       /* standard input to daemon; with overrides, only its state */
    struct flow down;     /* daemon to standard output */
    bool half_closed;     /* the daemon has been told of the end of standard input */
};

static bool is_empty(const struct flow *f)
{
    return f->begin == f->end;
}

static bool wants_bytes(const struct flow *f)
{
    return is_empty(f) && !f->eof && !f->broken;
}

static void fill(struct flow *f, int fd)
{
    ssize_t n = read(fd, f->bytes, sizeof(f->bytes));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    f->begin = 0;
    f->end = n > 0 ? (size_t)n : 0;
    f->eof = n <= 0;
}

static void spill(struct flow *f, int fd)
{
    ssize_t n = output_write(fd, f->bytes + f->begin, f->end - f->begin);
    if (n >= 0) {
        f->begin += (size_t)n;
    } else {
        f->broken = true;
        f->begin = f->end;
    }
}

/* Lines with overrides in them, in place of bytes, wait in session.out. */
static bool rewrites(const struct bridge *b)
{
    return overrides_any(&b->overrides);
}

static bool up_is_empty(const struct bridge *b)
{
    return is_empty(&b->up) && outbuf_len(&b->session.out) == 0;
}

static int put_line(struct bridge *b, struct slice line)
{
    _cleanup_free_ char *changed = NULL;
    int r = overrides_apply(&b->overrides, line, &changed);
    return r < 0 ? r : outbuf_line(&b->session.out, changed ? slice_str(changed) : line);
}

/* 0 or -errno. */
static int fill_lines(struct bridge *b)
{
    struct slice line;
    int r = linebuf_read(&b->lines, STDIN_FILENO);
    if (r == LINEBUF_AGAIN)
        return 0;
    b->up.eof = r != LINEBUF_OK;
    if (b->up.eof) {
        line = linebuf_rest(&b->lines);
        return line.n ? put_line(b, line) : 0;
    }
    while ((r = linebuf_next(&b->lines, &line)) == LINEBUF_OK)
        if ((r = put_line(b, line)) < 0)
            return r;
    linebuf_trim(&b->lines);
    return r == LINEBUF_NONE ? 0 : -EMSGSIZE;
}

static int up_fill(struct bridge *b)
{
    if (rewrites(b))
        return fill_lines(b);
    fill(&b->up, STDIN_FILENO);
    return 0;
}

static void up_spill(struct bridge *b)
{
    if (!is_empty(&b->up))
        spill(&b->up, b->session.fd);
    if (outbuf_len(&b->session.out) > 0 && outbuf_flush(&b->session.out, b->session.fd) < 0) {
        b->up.broken = true;
        b->session.out.begin = b->session.out.end;
    }
}

enum { AT_SIGNALS, AT_SOCKET, AT_STDIN, AT_STDOUT, AT_COUNT };

/* An entry for poll; without events a hang-up would wake us again and again, so leave it out. */
static struct pollfd entry(int fd, bool in, bool out)
{
    short events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
    return (struct pollfd){events ? fd : -1, events, 0};
}

/* The exit code for the signal that has come; -1 if there was none after all. */
static int signal_code(int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return -1;
    /* As Codex ends on SIGTERM. */
    return info.ssi_signo == SIGTERM ? CMD_DONE : CMD_INTERRUPTED;
}

/* One round of waiting and moving bytes; the exit code, or -1 to go on. */
static int step(struct bridge *b)
{
    int fd = b->session.fd;
    struct pollfd p[AT_COUNT] = {
        [AT_SIGNALS] = {b->session.signals, POLLIN, 0},
        [AT_SOCKET] = entry(fd, wants_bytes(&b->down), !up_is_empty(b)),
        [AT_STDIN] = entry(STDIN_FILENO, wants_bytes(&b->up) && up_is_empty(b), false),
        /* Always watched: whoever reads it may go while the daemon has nothing to say. */
        [AT_STDOUT] = {STDOUT_FILENO, is_empty(&b->down) ? 0 : POLLOUT, 0},
    };
    if (poll(p, AT_COUNT, -1) < 0)
        return errno == EINTR ? -1 : CMD_FAILED;
    if (p[AT_SIGNALS].revents)
        return signal_code(b->session.signals);
    if (p[AT_STDOUT].revents & (POLLERR | POLLHUP | POLLNVAL))
        return CMD_FAILED;
    if (p[AT_STDOUT].revents & POLLOUT)
        spill(&b->down, STDOUT_FILENO);
    if (p[AT_SOCKET].revents)
        up_spill(b);
    if (p[AT_SOCKET].revents && wants_bytes(&b->down))
        fill(&b->down, fd);
    if (p[AT_STDIN].revents && up_fill(b) < 0)
        return session_no_memory();
    if (b->up.eof && up_is_empty(b) && !b->half_closed) {
        b->half_closed = true;
        (void)shutdown(fd, SHUT_WR);
    }
    if (b->down.broken)
        return CMD_FAILED;
    if (!b->down.eof || !is_empty(&b->down))
        return -1;
    return b->half_closed && !b->up.broken ? CMD_DONE : session_lost(&b->session);
}

int cmd_app_server(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    (void)cmd;
    struct bridge *b = calloc(1, sizeof(*b));
    if (!b)
        return session_no_memory();
    overrides_init(&b->overrides);
    linebuf_init(&b->lines, LINE_MAX_BYTES);
    int r = overrides_read(&b->overrides, argc, argv);
    int code = session_open(&b->session, socket, SIGTERM);
    if (r < 0)
        code = session_no_memory();
    if (code == CMD_DONE)
        do
            code = step(b);
        while (code < 0);
    session_close(&b->session);
    linebuf_deinit(&b->lines);
    overrides_deinit(&b->overrides);
    free(b);
    return code;
}
