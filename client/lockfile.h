/* Lock files on the disk, and which process has one. */
#ifndef CLIENT_LOCKFILE_H
#define CLIENT_LOCKFILE_H

#include "proto/base.h"

#include <sys/types.h>

struct lockfile {
    char *thread_id; /* owned */
    dev_t dev;
    ino_t ino;
    pid_t holder; /* 0: nobody whom this process can see */
};

struct lockfiles {
    struct lockfile *files;
    size_t n;
    bool holders_known; /* the kernel's list could be read */
};

/* Reads a directory of files THREAD.lock, sorted by name, and who holds each; one that is gone
 * before that is known is left out. 0 or -errno; lockfiles_free is due either way. */
int lockfiles_read(const char *directory, struct lockfiles *to) CP_MUSTCHECK;
void lockfiles_free(struct lockfiles *files);

struct process {
    bool seen; /* it is there and may be looked at */
    uid_t uid;
    char command[160]; /* its command line as `ps` has it, cut; "?" where it is not to be read */
};

struct process process_look(pid_t pid);

/* pid is `of` or anywhere below it, as far as /proc tells. */
bool process_descends(pid_t pid, pid_t of);

#endif
