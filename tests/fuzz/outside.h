/* What is around the daemon when its session is fuzzed: a clock that stands still until it is
 * moved, and processes that are only ends of pipes. outside.c is linked in place of daemon/spawn.c,
 * daemon/children.c and daemon/listener.c, and of the libc's kill, clock_gettime and getrandom. */
#ifndef TESTS_FUZZ_OUTSIDE_H
#define TESTS_FUZZ_OUTSIDE_H

#include "proto/base.h"

#include <sys/types.h>

#define PROCESSES 4 /* at once */

/* The ends of a worker's pipes that the process would have; -1: closed. */
struct process {
    pid_t pid; /* 0: none */
    int stdin_fd, stdout_fd, stderr_fd;
    int killed_by; /* a signal that it has not died of yet; 0: none */
};

enum spawning { SPAWN_WORKS, SPAWN_FAILS, EXEC_FAILS };

struct outside {
    uint64_t now_ns;
    struct process processes[PROCESSES];
    pid_t last_pid;
    unsigned char randoms; /* that it has been given */
    enum spawning next;
};

/* There is one: those who call the libc and spawn_codex pass nothing on. */
struct outside *outside(void);

/* Starts over. No process may be left. */
void outside_reset(void);

/* Closes what it has open. The caller tells the daemon. */
void process_end(struct process *p);

#endif
