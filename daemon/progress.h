/* What Codex's messages say about a thread: whether a turn runs, is promised, or has ended. */
#ifndef DAEMON_PROGRESS_H
#define DAEMON_PROGRESS_H

#include "daemon/request.h"
#include "daemon/worker.h"

/* A notification about a thread that this worker owns. The entry may be gone on return. */
void progress_notified(struct worker *w, struct thread *t, const struct envelope *e);

/* The thread that a notification about an unknown one makes known (a sub-agent's, or a turn that
 * started by itself); NULL where it makes none known. */
struct thread *progress_unknown(struct worker *w, const struct envelope *e);

/* A client's request was answered, to its client. */
void progress_answered(struct worker *w, struct request *r, const struct envelope *e);

/* A request was answered whose client has left meanwhile. */
void progress_orphan_answered(struct worker *w, struct request *r, const struct envelope *e);

#endif
