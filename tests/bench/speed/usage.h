/* What the process under test uses, read from /proc. It is a tree: some relays fork for each
 * connection. The scripted workers below it do not count. */
#ifndef SPEED_USAGE_H
#define SPEED_USAGE_H

#include <stdint.h>
#include <sys/types.h>

#define USAGE_PROCESSES 64

struct usage {
    pid_t root; /* 0: there is none, everything is 0 */
    struct {
        pid_t pid;
        uint64_t first, last; /* ns of CPU */
    } of[USAGE_PROCESSES];
    unsigned count;
};

/* From here on. */
void usage_begin(struct usage *u, pid_t root);
/* To be called before a process of it ends, and at last. */
void usage_sample(struct usage *u);
/* ns of CPU between usage_begin and the last sample. */
uint64_t usage_cpu_ns(const struct usage *u);

/* A line of /proc/PID/status or smaps_rollup in bytes, e.g. "VmHWM:". 0 where there is no process.
 */
uint64_t memory_of(pid_t pid, const char *file, const char *key);
/* VmHWM starts again from what is resident now. */
void forget_peak(pid_t pid);

#endif
