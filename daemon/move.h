/* Moving a thread from one worker to another, unseen by its client and by the model.
 *
 * Its owner is asked what the daemon cannot know, unloads it (thread/unsubscribe until
 * thread/closed), the other worker loads it (thread/resume), what that reports is compared with
 * what was, and repaired (thread/settings/update) where it can be. Where any of this fails it goes
 * back the same way; where that fails, too, its client is told that it is closed. About 30 ms
 * (measured on 0.169). Meanwhile requests for the thread wait, and the worker that it moves to is
 * leased to the client that it moves for. */
#ifndef DAEMON_MOVE_H
#define DAEMON_MOVE_H

#include "daemon/worker.h"

/* Begins: `to` must be leased to the client that it moves for. When it is over, that client's
 * oldest request for the thread is served, or the lease settled. False when out of memory. */
bool move_begin(struct thread *t, struct worker *to) CP_MUSTCHECK;

/* The thread, which `from` had, is with its owner now; it was on its way since `since_ms`. */
void move_count(const struct thread *t, const struct worker *from, uint64_t since_ms);

/* It is unloaded or loaded for its move just now; *closing: its owner has yet to let go of it. */
bool move_under_way(const struct thread *t, bool *closing);

/* The owner of a moving thread has said something about it. False: it means what it means for any
 * thread. The thread may be gone on return of true. */
bool move_notified(struct thread *t, const struct envelope *e);

/* A thread moves from or to this worker. */
bool move_involves(const struct worker *w);

/* The worker is STOPPING, nothing there is ended yet: threads on the way from or to it go on or
 * back. */
void move_worker_lost(struct worker *w);

/* Gives a move up because the thread is to be closed: its owner is then the worker that has it or
 * is loading it. Returns the worker that it was to move to, for pool_settle; NULL if it was not
 * moving. */
struct worker *move_drop(struct thread *t);

#endif
