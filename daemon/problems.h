/* What is wrong, in words, for who looks at pool/status: the cause, and what helps. */
#ifndef DAEMON_PROBLEMS_H
#define DAEMON_PROBLEMS_H

#include "daemon/lockholder.h"
#include "daemon/worker.h"

/* [{"code","text","help"}], the worst first; part of a tree begun with rpc_object. */
cJSON *problems_build(const struct server *s);

/* A worker has said something of an open thread: what its turn suffers from. */
void problems_heard(struct thread *t, const struct envelope *e);

/* A process outside the pool has this thread's writer lock. */
void problems_locked(struct server *s, const char *thread_id, const struct lock_holder *holder);

#endif
