/* Live traffic for whoever debugs the pool: pool/trace makes its client a tracer, which is told of
 * every message that goes by and that its filter lets through.
 *
 * Where messages come in and go out there is one call of trace_message each, which costs a branch
 * while nobody traces. A tracer that does not read loses lines, which are counted and told; what it
 * is due is bounded and never a reason to read less from anybody. What traces are asked and told is
 * in no trace. */
#ifndef DAEMON_TRACE_H
#define DAEMON_TRACE_H

#include "daemon/client.h"
#include "daemon/worker.h"

enum trace_way {
    TRACE_FROM_CLIENT,
    TRACE_TO_WORKER,
    TRACE_FROM_WORKER,
    TRACE_TO_CLIENT,
};

/* Handles the request pool/trace. */
void trace_request(struct client *c, struct slice line, const struct envelope *e);

/* A client that goes traces no longer. Harmless for one that does not trace. */
void trace_end(struct client *c);

/* For trace_message alone. */
void trace_tell(struct server *s, enum trace_way way, const struct client *c,
                const struct worker *w, struct slice line, size_t at, struct slice instead);

/* A message goes by. `c` or `w` is NULL where the caller does not know it or there is none. Where
 * `instead` is sent in place of bytes at line[at], these tell apart the ids of the two sides. */
static inline void trace_message(struct server *s, enum trace_way way, const struct client *c,
                                 const struct worker *w, struct slice line, size_t at,
                                 struct slice instead)
{
    if (!list_empty(&s->tracers))
        trace_tell(s, way, c, w, line, at, instead);
}

#endif
