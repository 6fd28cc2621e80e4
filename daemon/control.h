/* What the daemon itself answers: initialize, thread/loaded/list, and its own methods, pool/…. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/client.h"
#include "daemon/request.h"
#include "daemon/worker.h"

/* A pool/… request. */
void control_request(struct client *c, struct slice line, const struct envelope *e);

/* Checks an initialize and takes what is this client's own from it. False if it was refused; else
 * control_answer is due. */
bool control_initialize(struct client *c, const struct envelope *e);

/* Answers initialize (as soon as a worker has answered its own) or thread/loaded/list. */
void control_answer(struct request *r);

/* Answers pool/acquire. Frees the request. */
void control_answer_acquired(struct request *r, struct worker *w, uint64_t waited_ms);

/* For clients that subscribe to queue events. */
void control_tell_queued(struct request *r);
void control_tell_assigned(struct request *r, struct worker *w, uint64_t waited_ms);

/* For clients that subscribe to moves (their user's; an admin's to all), and for the two that it
 * concerns where they subscribe to queue events. */
void control_tell_moved(const struct thread *t, const struct worker *from, const struct worker *to,
                        uint64_t ms);

/* Somebody has left the queue: those behind are told their new places, soon. */
void control_positions_changed(struct server *s);
void control_init(struct server *s);

#endif
