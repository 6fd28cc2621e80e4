/* Who may have a worker, or wait for one: what administrators and shares of users allow. Judges
 * only; the pool acts. */
#ifndef DAEMON_ADMISSION_H
#define DAEMON_ADMISSION_H

#include "daemon/request.h"

/* Its user has fewer workers than maxLeasesPerUid, or there is no limit. */
bool admission_in_share(const struct client *c);

/* Its user waits for fewer than maxWaitersPerUid, or there is no limit. */
bool admission_may_wait(const struct client *c);

/* Nobody gets a worker that has none: the pool is paused. */
bool admission_held_back(const struct server *s);

/* It came too late to be served: the pool stops, or drains. */
bool admission_turned_away(const struct request *r);

#endif
