/* Why somebody waits, and what a worker is held for: words for people. */
#ifndef DAEMON_WHY_H
#define DAEMON_WHY_H

#include "daemon/request.h"
#include "daemon/worker.h"

/* Of a request in the queue: what it needs that is not there, be it beside idle workers. `n` bytes
 * at `room` are for words that are put together. */
const char *why_waits(const struct request *r, char *room, size_t n);

/* For what a client has this worker: "turn", "request" (one that is not answered), "opened" (a
 * thread, and no turn yet), "acquire" (pool/acquire), "pinned" (it has left something there) or
 * "promise" (a turn that is to come by itself). NULL: nobody has it. */
const char *why_leased(const struct worker *w);

#endif
