/* What a client does not hear of a move. */
#ifndef DAEMON_MOVE_HIDE_H
#define DAEMON_MOVE_HIDE_H

#include "daemon/worker.h"

/* What was said by a worker about a thread that moves or has just moved. True: it is nothing that
 * an unmoved thread's client would have heard. */
bool move_hides(const struct thread *t, const struct envelope *e);

#endif
