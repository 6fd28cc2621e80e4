/* When a request waits for its thread's owner and when the thread moves instead: the whole policy,
 * in one function. Pure. */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H

#include "daemon/config.h"
#include "daemon/stay.h"

struct policy_case {
    enum moves moves; /* the setting */
    bool resume;      /* the request is a thread/resume */
    bool owner_free;  /* it could be served where it is, now */
    bool owner_busy;  /* somebody has the owner; what else it does is over in a moment */
    enum stay stay;   /* what holds the thread there */
    bool target;      /* another worker is free and fit for it */
    uint64_t seq;     /* when it came */
    uint64_t rival;   /* when the oldest of those came whom the target could serve, too; 0: none */
};

enum policy {
    POLICY_OWNER, /* be served by the owner, now */
    POLICY_WAIT,  /* wait for it */
    POLICY_MOVE,  /* to the target */
};

enum policy policy_decide(const struct policy_case *p);

#endif
