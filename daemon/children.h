/* The process tree below the daemon: counted, reaped, and killed where it has lost its parent. */
#ifndef DAEMON_CHILDREN_H
#define DAEMON_CHILDREN_H

#include "proto/base.h"

#include <sys/types.h>

struct tree {
    uint64_t rss_bytes;
    unsigned processes;
};

/* A process and all below it; zeroes where it is gone. Reads /proc, which does not block. */
struct tree children_tree(pid_t pid);

/* Of the process alone; 0 where it is gone. */
uint64_t children_rss(pid_t pid);

/* True if pid is `of` or anywhere below it. */
bool children_descends(pid_t pid, pid_t of);

/* Kills what is below the daemon and carries this assignment in its environment: what a worker
 * left behind, which the daemon has inherited as its subreaper. NULL: nothing. */
void children_kill_marked(const char *assignment);

#endif
