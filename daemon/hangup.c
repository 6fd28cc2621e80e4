#include "daemon/hangup.h"

#include <errno.h>
#include <sys/epoll.h>

static void on_events(struct ev_loop *loop, ev_io *w, int revents)
{
    struct hangup *h = container_of(w, struct hangup, watcher);
    struct epoll_event event;
    (void)loop;
    (void)revents;
    /* One at a time: `gone` may end others that are in the same batch. The rest is seen at once in
     * the loop's next round. */
    if (epoll_wait(h->epoll_fd, &event, 1, 0) == 1)
        h->gone(event.data.ptr);
}

int hangup_init(struct hangup *h, struct ev_loop *loop, hangup_fn *gone)
{
    *h = (struct hangup){.loop = loop, .gone = gone};
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll_fd < 0)
        return -errno;
    ev_io_init(&h->watcher, on_events, h->epoll_fd, EV_READ);
    ev_io_start(loop, &h->watcher);
    return 0;
}

void hangup_deinit(struct hangup *h)
{
    ev_io_stop(h->loop, &h->watcher);
    h->epoll_fd = cp_close(h->epoll_fd);
}

int hangup_watch(struct hangup *h, int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = who};
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    return errno == EEXIST ? 0 : -errno;
}

void hangup_unwatch(struct hangup *h, int fd)
{
    (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}
