/* Which requests could be served sooner by moving their thread: gathers what the policy decides by.
 */
#ifndef DAEMON_MOBILE_H
#define DAEMON_MOBILE_H

#include "daemon/policy.h"
#include "daemon/request.h"
#include "daemon/worker.h"

/* Another worker could have this one's threads: of the same Codex, and not about to be replaced. */
bool mobile_fits(const struct worker *to, const struct worker *owner);

/* What is best for a request whose thread has an owner, were this worker free; NULL: were any.
 * `rival` as in struct policy_case. */
enum policy mobile_decide(const struct request *r, const struct thread *t, const struct worker *to,
                          uint64_t rival);

/* The oldest in the queue who came before `before` (a sequence number) and whose thread is to move
 * to this worker, which is free, of those that `may` accepts; NULL for none. */
struct request *mobile_next(const struct worker *to, uint64_t before,
                            bool (*may)(const struct waiter *w, void *arg), void *arg);

/* Somebody who came before it waits for the same thread, and would wait on where the thread goes:
 * one whose request keeps the thread where it is. `may` as below. */
bool mobile_would_pass(const struct request *r, bool (*may)(const struct waiter *w, void *arg),
                       void *arg);

/* A thread/resume of a client that is not the thread's subscriber: the thread is unloaded for it
 * and loaded anew, wherever that is. */
bool mobile_is_cold(const struct request *r, const struct thread *t);

/* Why the thread of a request that waits for its owner does not move, in words; NULL where it
 * would, were another worker free. */
const char *mobile_why_not(const struct request *r, const struct thread *t);

#endif
