/* Which process holds a thread's writer lock (flock on $CODEX_HOME/thread-writer-locks/ID.lock,
 * Codex 0.148 and later). */
#ifndef DAEMON_LOCKHOLDER_H
#define DAEMON_LOCKHOLDER_H

#include "daemon/server.h"

struct lock_holder {
    pid_t pid; /* 0: nobody, or unknown */
    bool ours; /* a worker of this pool, or something that it started */
    char command[64];
};

/* Reads /proc, which does not block. */
struct lock_holder lockholder_find(const struct server *s, const char *thread_id);

#endif
