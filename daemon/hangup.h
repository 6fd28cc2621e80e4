/* Notices that the other end of a socket has closed although nobody reads from it.
 *
 * libev's watchers would spin on unread input; a second epoll set asks for EPOLLRDHUP alone. */
#ifndef DAEMON_HANGUP_H
#define DAEMON_HANGUP_H

#include "proto/base.h"

#include <ev.h>

typedef void hangup_fn(void *who);

struct hangup {
    int epoll_fd;
    ev_io watcher;
    struct ev_loop *loop;
    hangup_fn *gone;
};

/* `gone` is called with what was watched, once, and it is watched no longer. 0 or -errno. */
int hangup_init(struct hangup *h, struct ev_loop *loop, hangup_fn *gone) CP_MUSTCHECK;
void hangup_deinit(struct hangup *h);

/* 0 or -errno. */
int hangup_watch(struct hangup *h, int fd, void *who) CP_MUSTCHECK;
/* Harmless for one that is not watched. */
void hangup_unwatch(struct hangup *h, int fd);

#endif
