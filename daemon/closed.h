/* The last threads that a worker closed: what it still says of them is nobody's. */
#ifndef DAEMON_CLOSED_H
#define DAEMON_CLOSED_H

#include "proto/base.h"

#define CLOSED_KEPT 4096
#define CLOSED_BUCKETS 1024

/* By the hashes of their ids, in a ring, the oldest to be replaced next. What is in a bucket is
 * linked by numbers that are one more than the place in the ring; 0: the end. All zero is empty. */
struct closed_ring {
    uint64_t hash[CLOSED_KEPT]; /* 0: free */
    uint16_t after[CLOSED_KEPT];
    uint16_t first[CLOSED_BUCKETS];
    size_t next;
};

void closed_add(struct closed_ring *ring, struct slice id);
bool closed_has(const struct closed_ring *ring, struct slice id);
void closed_remove(struct closed_ring *ring, struct slice id);

#endif
