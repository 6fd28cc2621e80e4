/* Clients whose connection may end without an abort, since they wait for a person.
 *
 * By pool/detach a client stays as it is (its workers, threads, requests and what it is asked) and
 * only its connection goes. What it is due meanwhile is kept, up to maxParkedBytes. By pool/attach
 * another connection of the same user becomes its own and gets all of it. Who does not come back
 * in time, or is due too much, has disconnected. */
#ifndef DAEMON_PARK_H
#define DAEMON_PARK_H

#include "daemon/client.h"
#include "proto/envelope.h"

#include <cjson/cJSON.h>

/* {"ttlMs"?} → {"token","ttlMs"}: the answer is the last that the connection gets. */
void park_detach(struct client *c, struct slice line, const struct envelope *e);

/* {"token"} → {"client","workers","threads","turns","requests","asks","missedBytes","parkedMs"},
 * then what was missed. For a connection that has nothing yet; `c` is doomed where it was given
 * away. */
void park_attach(struct client *c, struct slice line, const struct envelope *e);

/* More is kept for a parked client: dooms it where that is too much. */
void park_check_output(struct client *c);

/* For pool/status: who is parked, the first of them. */
cJSON *park_status(const struct server *s);

/* How many are. */
size_t park_count(const struct server *s);

/* Forgets its token. Harmless for a client that is not parked. */
void park_end(struct client *c);

#endif
