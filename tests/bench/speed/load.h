/* The load generator's ways to load what is measured. Each prints one JSON object, and dies where a
 * message is missing, wrong or out of order. */
#ifndef SPEED_LOAD_H
#define SPEED_LOAD_H

#include "tests/bench/speed/peer.h"
#include "tests/bench/speed/usage.h"

struct options {
    struct target to;
    pid_t relay; /* what is measured; 0: nothing is between */
    size_t count, size;
    const char *how; /* whole or each: how the worker writes what it streams */
    unsigned clients;
    double seconds;
    unsigned rate;
};

/* `clients` connections at once, a turn each that streams `count` deltas of `size` bytes. */
void load_stream(const struct options *o);
/* `count` round trips, one after the other. */
void load_trips(const struct options *o);
/* One line of `size` bytes to the worker and back, `count` times. */
void load_line(const struct options *o);
/* `count` hand-overs of one worker between `clients` that want it. */
void load_handoff(const struct options *o);
/* `clients` that wait for one worker, and the memory they take. */
void load_waiters(const struct options *o);
/* `clients` that take short turns for `seconds`. */
void load_fair(const struct options *o);
/* `count` round trips, alone and beside a stream of lines of `size` bytes. */
void load_quiet(const struct options *o);

#endif
