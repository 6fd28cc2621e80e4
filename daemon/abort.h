/* A client that has left: what it had is ended, and its workers are cleaned before anyone else has
 * them. */
#ifndef DAEMON_ABORT_H
#define DAEMON_ABORT_H

#include "daemon/client.h"
#include "daemon/worker.h"

/* Ends everything a doomed client has; client_free may follow. */
void abort_client(struct client *c);

/* Something has ended at a worker that is being cleaned: if it was the last thing, it is free. */
void abort_check(struct worker *w);

#endif
