/* What the daemon knows of writer locks. The disk it leaves to whoever asks: it may be slow, and
 * the loop does not wait. */
#ifndef DAEMON_LOCKS_H
#define DAEMON_LOCKS_H

#include "daemon/server.h"

/* The result of pool/locks: {"directory","pid","workers":[{"id","pid"}],"threads":[{"threadId",
 * "worker","client","running"}],"threadsLeftOut"}, the directory that of the lock files (null where
 * it is not known), the threads those that workers have loaded. NULL when out of memory. */
cJSON *locks_build(const struct server *s);

#endif
