/* What a worker's end means to those who had something there, said in the protocol's own words. */
#ifndef DAEMON_LOSS_H
#define DAEMON_LOSS_H

#include "daemon/worker.h"

/* Ends all turns, requests and threads of a worker that is STOPPING: running turns fail, unanswered
 * requests get workerLost, threads are closed, its lease is over. `how` goes into the messages. */
void loss_tell(struct worker *w, const char *how);

/* Its client is told that the thread is not loaded any more. */
void loss_close_thread(const struct thread *t);

#endif
