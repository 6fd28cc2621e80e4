/* What /metrics says: the state, the counters and the times of the daemon for Prometheus, in its
 * text format 0.0.4. The labels are of few values: never a thread, a client or a turn. */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/server.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Before anything is timed. */
void metrics_init(struct server *s);

/* The whole text, the caller's to free. NULL when out of memory. */
char *metrics_build(const struct server *s);

#endif
