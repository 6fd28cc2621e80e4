/* What a thread's owner is asked before the thread moves: what holds it there that the daemon has
 * not heard of. Pure: knows the questions and what the answers mean. */
#ifndef DAEMON_MOVE_CHECK_H
#define DAEMON_MOVE_CHECK_H

#include "daemon/stay.h"
#include "proto/envelope.h"

#define MOVE_CHECKS 4

/* The method of the i-th question; its parameters are {threadId}. */
const char *move_check_method(unsigned i);

/* What the answer to it says; NULL: there was none. */
enum stay move_check_judge(unsigned i, const struct envelope *answer);

#endif
