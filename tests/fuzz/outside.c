#include "tests/fuzz/outside.h"

#include "daemon/children.h"
#include "daemon/listener.h"
#include "daemon/server.h"
#include "daemon/spawn.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>

/* Above any that Linux gives, so that no signal meets a real process. */
#define FIRST_PID 0x40000000

struct outside *outside(void)
{
    static struct outside world;
    return &world;
}

void outside_reset(void)
{
    struct outside *o = outside();
    for (size_t i = 0; i < PROCESSES; i++)
        MUST(!o->processes[i].pid, "process %zu is left", i);
    *o = (struct outside){.now_ns = UINT64_C(1000000000000), .last_pid = FIRST_PID};
}

void process_end(struct process *p)
{
    p->stdin_fd = cp_close(p->stdin_fd);
    p->stdout_fd = cp_close(p->stdout_fd);
    p->stderr_fd = cp_close(p->stderr_fd);
    *p = (struct process){.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
}

/* libev's, too: a program's own symbols go before those of libraries. */
int clock_gettime(clockid_t id, struct timespec *now)
{
    uint64_t ns = outside()->now_ns;
    if (id != CLOCK_MONOTONIC || !ns)
        return (int)syscall(SYS_clock_gettime, id, now);
    *now = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    return 0;
}

int kill(pid_t pid, int sig)
{
    pid_t id = pid < 0 ? -pid : pid;
    MUST(id > FIRST_PID, "a signal to %d", (int)pid);
    for (size_t i = 0; i < PROCESSES; i++) {
        struct process *p = &outside()->processes[i];
        if (p->pid != id)
            continue;
        if (p->killed_by != SIGKILL)
            p->killed_by = sig;
        return 0;
    }
    errno = ESRCH;
    return -1;
}

/* The n-th is a number, so that a script may know it. */
ssize_t getrandom(void *bytes, size_t n, unsigned flags)
{
    (void)flags;
    memset(bytes, 0, n);
    if (n)
        ((unsigned char *)bytes)[n - 1] = ++outside()->randoms;
    return (ssize_t)n;
}

static void open_pipe(int *reads, int *writes)
{
    int fds[2];
    MUST(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
    *reads = fds[0];
    *writes = fds[1];
}

int spawn_codex(const struct config *config, const char *path, const char *mark,
                struct spawned *out)
{
    struct outside *o = outside();
    struct process *p = o->processes;
    enum spawning how = o->next;
    int exec_fd, error = ENOEXEC;
    (void)config;
    (void)path;
    (void)mark;
    o->next = SPAWN_WORKS;
    while (p < o->processes + PROCESSES && p->pid)
        p++;
    if (how == SPAWN_FAILS || p == o->processes + PROCESSES)
        return -EAGAIN;
    *p = (struct process){.pid = ++o->last_pid};
    *out = (struct spawned){.pid = p->pid};
    open_pipe(&p->stdin_fd, &out->stdin_fd);
    open_pipe(&out->stdout_fd, &p->stdout_fd);
    open_pipe(&out->stderr_fd, &p->stderr_fd);
    open_pipe(&out->exec_fd, &exec_fd);
    if (how == EXEC_FAILS) {
        MUST(write(exec_fd, &error, sizeof(error)) == sizeof(error), "a full pipe");
        p->killed_by = SIGKILL;
    }
    (void)close(exec_fd);
    return 0;
}

char *spawn_resolve(const struct config *config)
{
    return strdup(config->codex_command);
}

int binary_read(const char *path, struct binary *binary)
{
    (void)path;
    *binary = (struct binary){0};
    return 0;
}

bool binary_same(const struct binary *a, const struct binary *b)
{
    (void)a;
    (void)b;
    return true;
}

struct tree children_tree(pid_t pid)
{
    return (struct tree){.rss_bytes = pid > 0 ? 1 << 20 : 0, .processes = pid > 0};
}

uint64_t children_rss(pid_t pid)
{
    return pid > 0 ? 1 << 20 : 0;
}

bool children_descends(pid_t pid, pid_t of)
{
    return pid == of;
}

void children_kill_marked(const char *assignment)
{
    (void)assignment;
}

/* Clients come by client_new. */
int listener_init(struct server *s)
{
    s->listener = (struct listener){.fd = -1, .paused = true};
    return 0;
}

void listener_close(struct server *s)
{
    (void)s;
}

void listener_pause(struct server *s)
{
    (void)s;
}

void listener_resume(struct server *s)
{
    (void)s;
}
