/* maxTurnMs, turnStallTimeoutMs and administrators: a turn past a limit is interrupted, once; a
 * worker where it does not end by that is replaced. */
#ifndef DAEMON_LIMIT_H
#define DAEMON_LIMIT_H

#include "daemon/worker.h"

void limit_init(struct worker *w);

/* Something has happened at the worker that may begin or end a limit. */
void limit_update(struct worker *w);

/* Interrupts the turn that runs on a thread, as a limit would, because of `why`. Harmless for one
 * that has been interrupted by us. */
void limit_interrupt(struct thread *t, const char *why);

#endif
