/* Who waits for a worker, first come first served.
 *
 * There is one lane for those that any worker can serve and one for each worker; sequence numbers
 * are one count over all, so the oldest of two lanes is the older of their heads. Pure: knows no
 * loop, no client and no worker. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include "proto/list.h"

/* Waiters in order of their sequence numbers. */
struct lane {
    struct list waiters;
};

struct queue {
    struct lane any;
    struct list all; /* every waiter of every lane, oldest first */
    size_t length;
    uint64_t last_seq;
};

/* Embedded in what waits. */
struct waiter {
    uint64_t seq; /* 0 until it first waits; kept when it changes lanes */
    struct lane *lane;
    struct list in_lane, in_all;
};

void queue_init(struct queue *q);
/* Asserts that nobody waits. */
void queue_deinit(struct queue *q);

void lane_init(struct lane *lane);
bool lane_empty(const struct lane *lane);

void waiter_init(struct waiter *w);

/* At the end, or, where it has waited before, at the place that its number gives it. */
void queue_add(struct queue *q, struct lane *lane, struct waiter *w);

/* Harmless for one that does not wait. */
void queue_remove(struct queue *q, struct waiter *w);

/* To another lane, in its place there. It must be waiting. */
void queue_move(struct waiter *w, struct lane *to);

/* The oldest waiter of `lane` and of the lane for any worker that `may` accepts; NULL for none.
 * `may` NULL accepts all. `lane` may be NULL. */
struct waiter *queue_oldest(const struct queue *q, const struct lane *lane,
                            bool (*may)(const struct waiter *w, void *arg), void *arg);

/* How many wait up to and with this one: 1 is the next to be served. Walks the queue. */
size_t queue_position(const struct queue *q, const struct waiter *w);

/* The oldest of all; NULL for none. */
struct waiter *queue_first(const struct queue *q);

#endif
