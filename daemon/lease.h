/* When a lease may end. Judges only; the pool acts. */
#ifndef DAEMON_LEASE_H
#define DAEMON_LEASE_H

#include "daemon/worker.h"

enum lease_verdict {
    LEASE_RUNS,  /* something runs, or was sent and is not answered */
    LEASE_WAITS, /* a turn is expected: ends at *until if somebody waits then */
    LEASE_QUIET, /* nothing runs, but its holder keeps it (pool/acquire, pinned) */
    LEASE_ENDS,
};

/* Of a worker that is leased. *until in ms of the monotonic clock, for LEASE_WAITS. */
enum lease_verdict lease_judge(const struct worker *w, uint64_t *until);

/* A thread on this worker that is no relative of `t` is busy, or its next turn is sent and not
 * answered: nothing for `t` may start here now. t NULL: any thread counts. For a `t` that the
 * holder does not subscribe to only its sub-agents are relatives. */
bool lease_conflicts(const struct worker *w, const struct thread *t);

/* The request would begin a turn of `t` beside others of its family, all of which began after
 * somebody else began to wait for this worker: one could go on for ever in that way, each of its
 * turns beside the last. A turn that ran before may need what comes beside it, and may have it, and
 * so may a thread whose sub-agents run. */
bool lease_prolongs(const struct request *r, const struct worker *w, const struct thread *t);

#endif
