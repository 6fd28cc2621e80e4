/* Gives and takes workers: the only place that begins and ends leases, and the queue for them. */
#ifndef DAEMON_POOL_H
#define DAEMON_POOL_H

#include "daemon/request.h"
#include "daemon/worker.h"

/* A stream request: takes `want` (the owner of its thread; NULL: any worker) or waits for it, in
 * order. Once it has a worker it goes on by router_admit. It may be gone on return. */
void pool_request(struct request *r, struct worker *want);

/* Something has happened at a worker, or somebody waits, so that its lease may have to end. */
void pool_settle(struct worker *w);

/* The same for every worker. */
void pool_settle_all(struct server *s);

/* Begins a lease without a request: for a turn that started by itself. */
void pool_lease_to(struct worker *w, struct client *c);

/* Ends the lease without giving the worker on: for an abort or a loss. Harmless without one. */
void pool_end_lease(struct worker *w);

/* Counts a request as unanswered in the lease of the worker that its client holds. */
void pool_lease_request(struct worker *w, struct request *r);
/* Harmless for one that is not counted. */
void pool_unlease_request(struct request *r);

/* A ready worker is clean and nobody has it: to the next in line, or idle, or replaced where it is
 * worn out. */
void pool_free_worker(struct worker *w);

/* The ways out of the queue, each told apart in the log; the request is freed. */
void pool_timed_out(struct request *r);
void pool_cancel(struct request *r, bool by_admin);
void pool_abandon(struct request *r); /* its client has left */
/* Everybody who waits in the queue fails; the message may be NULL for the code's own. */
void pool_reject_all(struct server *s, int code, const char *message);

/* Takes it off the queue, and nothing else: for request_unpark. */
void pool_dequeue(struct request *r);

/* Nobody has the thread loaded any more: who waited for w because of it may have any worker. */
void pool_thread_unowned(struct worker *w, const char *id);

/* Another worker than `from` has it now, or will have: who waits for it waits there. */
void pool_thread_moved(const struct thread *t, struct worker *from);

/* Begins to bring an open thread to whichever other worker is idle, though nobody waits for it.
 * False where there is none now. */
bool pool_relocate(struct thread *t);

/* A move is over that this worker was leased for: the request that it was for goes on, if its
 * thread is here. */
void pool_arrived(struct worker *w, const char *thread_id);

/* Who waits in the queue to use the thread as it was open fails. */
void pool_fail_thread(const struct thread *t, const char *why);

/* Leases that are over end, and workers that are idle or held for a turn that may never come look
 * whether somebody waits for them. For server.offer, by which whoever changes what these depend on
 * has it done before the loop sleeps. */
void pool_offer(struct server *s);

/* Somebody waits whom this worker could serve. */
bool pool_somebody_waits(const struct worker *w);

/* Since when the oldest of those, but for its holder, waits: ms; 0: nobody. */
uint64_t pool_waited_since(const struct worker *w);

#endif
