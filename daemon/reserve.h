/* Memory for the event loop. libev ends the process where it gets none, so a block is kept for it
 * that is let go first: what it asks for is little, and what has failed elsewhere has by then been
 * told or dropped. */
#ifndef DAEMON_RESERVE_H
#define DAEMON_RESERVE_H

#include "proto/base.h"

/* Before the loop is made. 0 or -ENOMEM. */
int reserve_init(void) CP_MUSTCHECK;
void reserve_deinit(void);

/* Keeps a block again where it has been let go, if there is memory. Called before the loop sleeps.
 */
void reserve_refill(void);

#endif
