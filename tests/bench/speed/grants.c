/* The least that a queue for one worker does: connections to a Unix socket whose pool/acquire is
 * answered one after the other, as pool/release says. It knows the lines of the load generator and
 * nothing else. */
#include "tests/bench/speed/util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EVENTS 64
#define LINES 4096

static const char granted[] = "{\"id\":7,\"result\":{\"worker\":1,\"waitedMs\":0}}\n";
static const char released[] = "{\"id\":8,\"result\":{}}\n";

struct grants {
    int epoll, listener;
    int *waiting; /* descriptors, oldest first, as a ring */
    size_t first, last, room;
    int holder; /* -1: nobody */
};

static void watch(const struct grants *g, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(g->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* To one that may be gone. */
static void say(int fd, const char *line, size_t n)
{
    (void)!write_whole(fd, line, n);
}

static void serve_next(struct grants *g)
{
    g->holder = g->first < g->last ? g->waiting[g->first++ % g->room] : -1;
    if (g->holder >= 0)
        say(g->holder, granted, sizeof(granted) - 1);
}

static void leave(struct grants *g, int fd)
{
    size_t last = g->last;
    g->last = g->first;
    for (size_t i = g->first; i < last; i++)
        if (g->waiting[i % g->room] != fd)
            g->waiting[g->last++ % g->room] = g->waiting[i % g->room];
    (void)close(fd);
    if (g->holder == fd)
        serve_next(g);
}

static void tell_length(const struct grants *g, int fd, const char *line)
{
    char answer[128];
    unsigned long id = strtoul(line + strlen("{\"id\":"), NULL, 10);
    int n =
        snprintf(answer, sizeof(answer), "{\"id\":%lu,\"result\":{\"queue\":{\"length\":%zu}}}\n",
                 id, g->last - g->first);
    say(fd, answer, (size_t)n);
}

static void take(struct grants *g, int fd, const char *line)
{
    if (strstr(line, "\"pool/release\"")) {
        say(fd, released, sizeof(released) - 1);
        serve_next(g);
    } else if (strstr(line, "\"pool/acquire\"")) {
        g->waiting[g->last++ % g->room] = fd;
        if (g->holder < 0)
            serve_next(g);
    } else {
        tell_length(g, fd, line);
    }
}

/* A client's lines come in one piece. */
static void take_lines(struct grants *g, int fd)
{
    char lines[LINES + 1], *rest = lines, *line;
    ssize_t n = read(fd, lines, LINES);
    if (n <= 0) {
        leave(g, fd);
        return;
    }
    lines[n] = '\0';
    while ((line = strsep(&rest, "\n")) && *line)
        take(g, fd, line);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: speed-grants SOCKET");
    (void)signal(SIGPIPE, SIG_IGN);
    raise_fd_limit();
    struct grants g = {.holder = -1,
                       .epoll = epoll_create1(EPOLL_CLOEXEC),
                       .listener = listen_at(argv[1]),
                       .room = 1 << 16};
    g.waiting = must(calloc(g.room, sizeof(*g.waiting)));
    watch(&g, g.listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(g.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != g.listener)
                take_lines(&g, fd);
            else if ((fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                watch(&g, fd);
        }
    }
}
