/* Requests about what a client has left running: its commands, processes, watches and sessions.
 *
 * They go to the worker where that runs and is this client's; nobody else's is reached. */
#ifndef DAEMON_FOLLOW_H
#define DAEMON_FOLLOW_H

#include "daemon/client.h"
#include "daemon/request.h"

/* The worker on which a client has left something; NULL for none. */
struct worker *follow_pinned(const struct client *c);

/* Sends a METHOD_FOLLOW request there, or answers it as a Codex does that has no such thing. It is
 * gone on return, or its worker's. */
void follow_route(struct request *r);

#endif
