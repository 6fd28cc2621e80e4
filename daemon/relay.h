/* The way of what streams: pieces of items, from a worker to the reader of their thread, in as few
 * and as large writes as they come in. Of such a line only the front is read: it ends at its
 * newline, and what it holds is the worker's business. */
#ifndef DAEMON_RELAY_H
#define DAEMON_RELAY_H

#include "daemon/worker.h"

/* Lines of one thread that follow one another in the worker's buffer. */
struct relay {
    struct thread *thread; /* NULL: there are none */
    struct slice lines;    /* with their newlines */
    size_t front;          /* how many bytes they all begin with */
    size_t method_n;
};

/* True where the line needs no more than to be passed on: it is held, and relay_flush is due before
 * anything else is done that concerns the worker, its threads or its buffer. False: what was held
 * has been passed on, and the line is for router_worker_line. */
bool relay_take(struct relay *r, struct worker *w, struct slice line) CP_MUSTCHECK;

/* Passes on what is held. */
void relay_flush(struct relay *r, struct worker *w);

#endif
