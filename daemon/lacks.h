/* What the Codex that a worker runs has been seen not to do. Learned from its answers and from what
 * does not come, not from its version; said once in the log for each process, and in the status. */
#ifndef DAEMON_LACKS_H
#define DAEMON_LACKS_H

#include "proto/base.h"

#include <cjson/cJSON.h>

struct server;
struct worker;

/* It does not close a thread that it was asked to. */
void lacks_unload(struct worker *w);

/* It has closed one after all. */
void lacks_no_unload(struct worker *w);

/* An answer to a request of the daemon's own, which may be that it does not know the method.
 * `error` is raw JSON, SLICE_NULL where there is none. */
void lacks_heard(struct worker *w, const char *method, struct slice error);

/* What the workers lack, each once, in words; NULL when out of memory. */
cJSON *lacks_list(const struct server *s);

#endif
