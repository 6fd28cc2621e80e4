/* Where every message goes: the only place that decides it.
 *
 * route_client.c has the way from a client to a worker, route_worker.c the way back. */
#ifndef DAEMON_ROUTER_H
#define DAEMON_ROUTER_H

#include "daemon/client.h"
#include "daemon/request.h"
#include "daemon/worker.h"

/* One line from a client. */
void router_client_line(struct client *c, struct slice line);

/* One line from a worker. */
void router_worker_line(struct worker *w, struct slice line);

/* Sends a NEW request on its way by what it is and by what is now; it may be gone on return. */
void router_route(struct request *r);

/* Everything on a list of parked requests, in order. */
void router_route_all(struct list *parked);

/* Its client holds this worker now: prepares the thread where it must, and sends it. */
void router_admit(struct request *r, struct worker *w);

/* Its thread has been unloaded, or has turned out not to be unloadable. */
void router_prepared(struct request *r, struct worker *w);

/* Its pause before another try is over. */
void router_retry(struct request *r);

#endif
