/* Requests that wait for room at a worker: the daemon's own first, then those of clients, one of
 * each client in turn, so that nobody waits behind a burst of somebody else's. */
#ifndef DAEMON_BACKLOG_H
#define DAEMON_BACKLOG_H

#include "proto/list.h"

struct client;
struct request;

struct backlog {
    struct list own;   /* requests without a client, by `node` */
    struct list lines; /* one for each client, the next to be served first */
};

void backlog_init(struct backlog *b);
/* Asserts that nobody waits. */
void backlog_deinit(struct backlog *b);

/* Where a request of this client (NULL: of the daemon) is to be parked; leaving is by
 * request_unpark. Valid until the next call. NULL when out of memory. */
struct list *backlog_line(struct backlog *b, const struct client *c);

/* The next to be sent; NULL for none. It stays where it is. */
struct request *backlog_first(struct backlog *b);

/* The client whose turn it was goes to the end. To be called before its request leaves. */
void backlog_rotate(struct backlog *b);

/* All that wait, in no order that means anything. */
void backlog_each(const struct backlog *b, void (*each)(const struct request *r, void *arg),
                  void *arg);

#endif
