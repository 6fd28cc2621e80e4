/* What the daemon promises each client, counted from what goes in and out of it:
 *
 *   - every request gets one answer: never two, and one at the latest when the pool has been shut
 *     down, unless the client has left or has stopped to read;
 *   - what comes is one message of the protocol a line;
 *   - what a worker says in answer to a request that it has answered before comes to nobody;
 *   - nothing that is another client's comes, be it that client's words or what is about a thread
 *     of its own, but by what the pool says of itself.
 *
 * Once a client has attached another's conversation, what was promised to that one is in the same
 * connection, and only the second of these is looked at. */
#ifndef TESTS_FUZZ_PROMISES_H
#define TESTS_FUZZ_PROMISES_H

#include "proto/linebuf.h"
#include "proto/list.h"

/* Clients' words and answers to them bear "%cN%", workers' words "%wN%", and a thread that client N
 * has opened is called "T%tN.M%". Scripts cannot write a "%" of their own. */
#define MARK_MAX 24
void mark_write(char *to, char kind, unsigned serial);
/* Whose is the first mark of one of these kinds at or behind *at, which moves past it; 0: none. */
unsigned mark_find(struct slice text, const char *kinds, size_t *at);

/* Marks of second answers; the last few. */
#define STRAYS_KEPT 32
struct strays {
    unsigned mark[STRAYS_KEPT];
    size_t next;
};

struct promises {
    unsigned serial;
    const struct strays *strays;
    struct linebuf sent; /* as the daemon reads it */
    bool refused;        /* it has written a line that is too long, so nothing after it counts */
    bool attaches;       /* it has asked for another's conversation */
    bool attached;       /* and has it */
    struct list tallies;
};

void promises_init(struct promises *p, unsigned serial, const struct strays *strays,
                   size_t max_line_bytes);
void promises_deinit(struct promises *p);

/* What the client has written. */
void promises_sent(struct promises *p, struct slice bytes);
/* A line that has come to it. */
void promises_line(struct promises *p, struct slice line);
/* No more will come: everything must have been answered. */
void promises_end(const struct promises *p);

#endif
