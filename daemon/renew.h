/* Replacing workers that are out of date or worn, with no stream dropped: one at a time, when idle,
 * and after the threads that clients have open there have moved elsewhere. */
#ifndef DAEMON_RENEW_H
#define DAEMON_RENEW_H

#include "daemon/worker.h"

/* To be replaced, and why: words for people, a string that stays. */
void renew_retire(struct worker *w, const char *why);

/* A global change was made at this worker that the other processes do not see, or see late. */
void renew_retire_others(struct worker *w, const char *change);

/* The command's binary is another than some workers run: they are to be replaced. Looks at the
 * file. */
void renew_look(struct server *s);

/* Stops a free worker that is to be replaced or that poolSize has no room for, unless something is
 * still in the way: then renew_next goes on with it. True if it did. */
bool renew_if_due(struct worker *w);

/* A worker that is to be replaced and is never idle would stay for ever: where somebody waits and
 * its open threads could all leave, it is given to nobody for a moment, a tenth of its time at
 * most, so that they can; for longer while they do. True while that lasts. */
bool renew_hold(struct worker *w, bool somebody_waits);
/* One of its threads has begun to leave. */
void renew_leaving(struct worker *w);
/* The next thread to leave a worker that is held; NULL for none. */
struct thread *renew_leaver(const struct server *s);

/* Brings the next one's next thread elsewhere, where one is due. Called before the loop sleeps,
 * when `renew` of the server says that something there has changed. */
void renew_next(struct server *s);

/* Why it is to be replaced or taken away; NULL if it is not. */
const char *renew_why(const struct worker *w);

/* Why a thread that is open there has not been brought elsewhere. */
const char *renew_keeps(const struct thread *t);

#endif
