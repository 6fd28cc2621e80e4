/* What each method of the app-server protocol needs of a pool. */
#ifndef PROTO_METHOD_H
#define PROTO_METHOD_H

#include "proto/base.h"

enum method_class {
    METHOD_SHARED, /* reads, and whatever is unknown: any ready worker, busy or not */
    METHOD_STREAM, /* opens a thread or runs something: needs a worker to itself */
    METHOD_OWNER,  /* acts on an open thread without starting a turn: its owner, at once */
    METHOD_PINNED, /* leaves something behind on the connection: a stream until the client ends */
    METHOD_FOLLOW, /* acts on what a pinned request or a command left behind */
    METHOD_GLOBAL, /* changes what all share: admins only */
    METHOD_INITIALIZE, /* answered by the daemon */
    METHOD_LOADED,     /* thread/loaded/list: answered by the daemon */
};

enum method_flag {
    METHOD_OPENS = 1 << 0,      /* the answer names a thread that is open from then on */
    METHOD_RESUME = 1 << 1,     /* opens the thread named in the parameters */
    METHOD_TURN = 1 << 2,       /* turn/start: the answer carries the turn */
    METHOD_PROMISES = 1 << 3,   /* answered before the turn that it starts exists */
    METHOD_GOAL = 1 << 4,       /* thread/goal/set: the answer carries the goal's status */
    METHOD_QUEUE = 1 << 5,      /* may start a turn by the thread's queue */
    METHOD_EXEC = 1 << 6,       /* command/exec: runs until answered, ended by its processId */
    METHOD_SUBSCRIBER = 1 << 7, /* for the thread's subscriber only */
    METHOD_UNSUBSCRIBE = 1 << 8,
    METHOD_ENDS = 1 << 9,      /* archive, delete: the thread is open no longer */
    METHOD_PERSISTS = 1 << 10, /* success writes the thread's rollout file */
    METHOD_LOCKS = 1 << 12,    /* refused while another process, or its own, lets the thread go */
    METHOD_MEMORY = 1 << 13,   /* changes what only the process has of the thread */
    METHOD_STATE = 1 << 11,    /* global: the other workers are stale afterwards */
};

struct method {
    const char *name;
    enum method_class class;
    unsigned flags; /* of enum method_flag */
};

/* Never NULL: a method that is not in the table is shared and has no flags. */
const struct method *method_find(struct slice name);

/* The whole table, sorted by name; *count entries. */
const struct method *method_table(size_t *count);

#endif
