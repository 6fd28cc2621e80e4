/* How requests leave the queue: one line of the log for each. */
#ifndef DAEMON_WAY_OUT_H
#define DAEMON_WAY_OUT_H

#include "daemon/request.h"

enum way_out {
    WAY_SERVED,
    WAY_CANCELLED, /* by its own client */
    WAY_CANCELLED_BY_ADMIN,
    WAY_TIMED_OUT,
    WAY_CLIENT_GONE,
    WAY_SHUTDOWN,
    WAY_WORKER_START, /* no worker can be started */
    WAY_THREAD_LOST,
    WAY_REFUSED, /* it has not come in */
};

/* To be called while the request is still counted in the queue's length. */
void way_out_log(const struct request *r, enum way_out way);

#endif
