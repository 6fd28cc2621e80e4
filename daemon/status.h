/* What pool/status says. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/server.h"

/* The whole of it; the caller's to delete. NULL when out of memory. */
cJSON *status_build(struct server *s);

#endif
