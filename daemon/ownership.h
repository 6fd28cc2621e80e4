/* Which worker has which thread loaded: the beginning and the end of that. */
#ifndef DAEMON_OWNERSHIP_H
#define DAEMON_OWNERSHIP_H

#include "daemon/worker.h"

/* The thread's entry, made if there is none; its owner is w from now on. NULL when out of memory.
 */
struct thread *ownership_begin(struct worker *w, struct slice id);

/* A thread/resume goes that was not answered: its thread does not point to it any more, and is
 * forgotten if it was known from that alone. Harmless for one that was answered. */
void ownership_not_opened(struct request *r);

/* Another worker has it from now on, or is to load it; who waits for it waits there. */
void ownership_move(struct thread *t, struct worker *to);

/* Nobody has it loaded any more: what waited for that goes on. Frees the entry. */
void ownership_end(struct thread *t);

/* A client's request has changed a thread that it need not have open (archive, rename, …): what
 * this worker says of it is for that client; NULL: for nobody, since it has left. Only the last few
 * are remembered. */
void ownership_asked(struct worker *w, struct slice thread_id, const struct client *c);
/* That client; *c is NULL if it has left. False: none is remembered. */
bool ownership_asker(const struct worker *w, struct slice thread_id,
                     struct client **c) CP_MUSTCHECK;

/* A client has a thread open that this worker owns. */
bool ownership_subscribed(const struct worker *w);

/* Whose a notification of its owner's is that names the thread; NULL: nobody's. */
struct client *ownership_reader(const struct thread *t, struct slice method);

/* Makes a client the thread's one subscriber; NULL for nobody. */
void ownership_subscribe(struct thread *t, struct client *c);

#endif
