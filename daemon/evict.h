/* Making a worker let go of a thread: interrupted, unsubscribed, and asked again until it is
 * closed.
 *
 * With thread_unload_delay_secs=0 Codex 0.169 closes it within 30 ms, whatever ran on it. */
#ifndef DAEMON_EVICT_H
#define DAEMON_EVICT_H

#include "daemon/worker.h"

void evict_init(struct worker *w);

/* Begins, or asks once more. Requests for the thread wait from now on. */
void evict_thread(struct thread *t);

/* The same with its sub-agents. */
void evict_family(struct thread *t);

/* A thread/resume that the daemon had sent before it began to evict the thread is answered. */
void evict_loaded(struct thread *t, bool loaded);

/* A thread of this worker has been closed, or has turned out not to close at all: whoever waited
 * for that goes on. */
void evict_settled(struct worker *w);

/* Codex says that a thread which is being evicted is closed. */
void evict_closed(struct thread *t);

/* The client's own thread/unsubscribe was sent: thread/closed is due. */
void evict_await(struct thread *t);

/* No thread of this worker is being evicted. */
bool evict_done(const struct worker *w);

#endif
