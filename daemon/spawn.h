/* Starting `codex app-server` with pipes, in a process group that dies with the daemon. */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include "daemon/config.h"

#include <sys/types.h>
#include <time.h>

/* Tells one binary from another at the same path. */
struct binary {
    dev_t dev;
    ino_t ino;
    struct timespec mtime;
    off_t size;
};

struct spawned {
    pid_t pid;
    int stdin_fd, stdout_fd, stderr_fd; /* ours, non-blocking, close-on-exec */
    int exec_fd;                        /* an errno if exec failed, else only its end */
    struct binary binary;
};

/* The environment variable that marks all that a worker starts, also what has left its process
 * group: "DAEMONPID.WORKER.START". */
#define SPAWN_MARK "CODEX_POOL_WORKER"

/* Where the configured command is, looked up anew: a heap string; NULL with errno. */
char *spawn_resolve(const struct config *config);

/* Starts `path`. 0 or -errno; on failure nothing is left. */
int spawn_codex(const struct config *config, const char *path, const char *mark,
                struct spawned *out) CP_MUSTCHECK;

/* Fills in what is at the path now. 0 or -errno. */
int binary_read(const char *path, struct binary *binary) CP_MUSTCHECK;
bool binary_same(const struct binary *a, const struct binary *b);

#endif
