/* Which of several workers a request gets. Asks, and changes nothing. */
#ifndef DAEMON_CHOOSE_H
#define DAEMON_CHOOSE_H

#include "daemon/worker.h"

/* One that may have the threads of `owner`. */
typedef bool choose_fits(const struct worker *w, const struct worker *owner);

/* The idle one that is best for a new stream, of those that fit (NULL: all); NULL: there is none.
 */
struct worker *choose_idle(const struct server *s, choose_fits *fit, const struct worker *owner);

/* One that the client holds by pool/acquire or (pinned) because it has left something there, and on
 * which nothing runs; NULL: none. */
struct worker *choose_held(const struct client *c, bool pinned);

#endif
