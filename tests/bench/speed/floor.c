/* The floor: a relay that reads nothing of what it carries. Each connection to a Unix socket gets a
 * worker of its own, bytes go both ways as they come; with as many workers as are allowed, further
 * connections wait. */
#include "tests/bench/speed/util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BUFFER ((size_t)256 * 1024)

struct end {
    struct link *link;
    int fd;
    uint32_t events;
    struct way *reads, *writes; /* NULL: none */
};

/* Bytes in one direction; nothing more is read while some are left. */
struct way {
    struct end *from, *to;
    size_t begin, end;
    char *buffer;
};

struct link {
    struct end client, in, out;
    struct way down, up; /* to the worker, from it */
    pid_t pid;
};

struct relay {
    int epoll, listener;
    unsigned links, most;
    const char *worker;
    struct link *over; /* to be closed when its last event has been seen */
};

static void watch(struct relay *r, struct end *e, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = e};
    if (e->events == events)
        return;
    if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, e->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
    e->events = events;
}

static void add(struct relay *r, struct end *e)
{
    struct epoll_event event = {.events = e->events, .data.ptr = e};
    set_nonblocking(e->fd);
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, e->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void listen_on(struct relay *r, bool on)
{
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = NULL};
    if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, r->listener, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void open_link(struct relay *r)
{
    int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct link *l = must(calloc(1, sizeof(*l)));
    struct child child = spawn_piped(r->worker);
    l->pid = child.pid;
    l->client = (struct end){l, fd, EPOLLIN, &l->down, &l->up};
    l->in = (struct end){l, child.in, 0, NULL, &l->down};
    l->out = (struct end){l, child.out, EPOLLIN, &l->up, NULL};
    l->down = (struct way){&l->client, &l->in, 0, 0, must(malloc(BUFFER))};
    l->up = (struct way){&l->out, &l->client, 0, 0, must(malloc(BUFFER))};
    add(r, &l->client);
    add(r, &l->in);
    add(r, &l->out);
    if (++r->links == r->most)
        listen_on(r, false);
}

static void close_link(struct relay *r, struct link *l)
{
    const struct end *ends[] = {&l->client, &l->in, &l->out};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        /* Closing is not enough: a child that has not run its program yet has them, too. */
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, ends[i]->fd, NULL);
        (void)close(ends[i]->fd);
    }
    (void)kill(l->pid, SIGKILL);
    (void)waitpid(l->pid, NULL, 0);
    free(l->down.buffer);
    free(l->up.buffer);
    free(l);
    if (r->links-- == r->most)
        listen_on(r, true);
}

/* Writes what is there. False when the link is over. */
static bool drain(struct relay *r, struct way *way)
{
    ssize_t n = write(way->to->fd, way->buffer + way->begin, way->end - way->begin);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    if (n > 0)
        way->begin += (size_t)n;
    bool left = way->begin < way->end;
    watch(r, way->to, left ? way->to->events | EPOLLOUT : way->to->events & ~(uint32_t)EPOLLOUT);
    watch(r, way->from,
          left ? way->from->events & ~(uint32_t)EPOLLIN : way->from->events | EPOLLIN);
    return true;
}

static bool carry(struct relay *r, struct way *way)
{
    ssize_t n = read(way->from->fd, way->buffer, BUFFER);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    way->begin = 0;
    way->end = (size_t)n;
    return drain(r, way);
}

static void on_event(struct relay *r, struct end *e, uint32_t events)
{
    bool goes_on = true;
    if (r->over == e->link)
        return;
    if (events & EPOLLOUT)
        goes_on = drain(r, e->writes);
    if (goes_on && (events & EPOLLIN))
        goes_on = carry(r, e->reads);
    else if (goes_on && (events & (EPOLLHUP | EPOLLERR)))
        goes_on = false;
    if (!goes_on)
        r->over = e->link;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage: speed-floor SOCKET WORKER MOST-WORKERS");
    (void)signal(SIGPIPE, SIG_IGN);
    struct relay r = {
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .listener = listen_at(argv[1]),
        .worker = argv[2],
        .most = (unsigned)strtoul(argv[3], NULL, 10),
    };
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (r.epoll < 0 || epoll_ctl(r.epoll, EPOLL_CTL_ADD, r.listener, &event) < 0)
        die("epoll: %s", strerror(errno));
    for (;;) {
        struct epoll_event events[16];
        int n = epoll_wait(r.epoll, events, (int)ARRAY_LEN(events), -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_event(&r, events[i].data.ptr, events[i].events);
            else
                open_link(&r);
            /* One at a time: its other events of this round must not be looked at. */
            if (r.over)
                break;
        }
        if (r.over)
            close_link(&r, take_ptr(r.over));
    }
}
