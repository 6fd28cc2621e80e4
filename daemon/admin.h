/* What administrators do to the pool: the handlers of their methods. control.c has seen to it that
 * the client may. Each is answered when it is done. */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include "daemon/client.h"
#include "proto/envelope.h"

/* {"size"} → {"size"}: until settings are read again. Answered when the new workers are ready, or
 * those beyond are gone. */
void admin_resize(struct client *c, struct slice line, const struct envelope *e);

/* {"worker"?} → {"recycled":[…]}: replaced one at a time, when idle, as renew.h says; one that
 * waits for its next start is started at once. Without `worker`, all. */
void admin_recycle(struct client *c, struct slice line, const struct envelope *e);

/* {} → {}: nobody gets a worker that has none; who has one keeps it. */
void admin_pause(struct client *c, struct slice line, const struct envelope *e);

/* {} → {}: ends pause and drain. */
void admin_resume(struct client *c, struct slice line, const struct envelope *e);

/* {} → {}: new stream requests are refused as at a shutdown. Answered when everybody who waited is
 * served and nothing runs. */
void admin_drain(struct client *c, struct slice line, const struct envelope *e);

/* {"threadId"} → {"interrupted"}: its turn, if one runs. Answered when it has ended; a worker that
 * does not end it within interruptTimeoutMs is replaced. */
void admin_interrupt(struct client *c, struct slice line, const struct envelope *e);

/* {"client"} → {}: as if it had disconnected. Answered when the workers that it held are clean. */
void admin_kick(struct client *c, struct slice line, const struct envelope *e);

/* {} → {}: as SIGHUP; an error says what is wrong with the settings. */
void admin_reload(struct client *c, struct slice line, const struct envelope *e);

/* {"level"} → {"level","before"}: until settings are read again. */
void admin_log_level(struct client *c, struct slice line, const struct envelope *e);

/* NULL where there is none. */
struct client *admin_find_client(const struct server *s, struct slice id);

#endif
