/* Memory for the event loop. libev ends the process where it gets none, so some blocks are kept
 * that it is given then: what it asks for is little, and seldom. */
#ifndef DAEMON_RESERVE_H
#define DAEMON_RESERVE_H

#include "proto/base.h"

/* Before the loop is made. 0 or -ENOMEM. */
int reserve_init(void) CP_MUSTCHECK;
void reserve_deinit(void);

/* Keeps as many again, if there is memory. Called before the loop sleeps. */
void reserve_refill(void);

#endif
