#include "tests/bench/speed/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define PIPE_BYTES (1024 * 1024)

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs(program_invocation_short_name, stderr);
    (void)fputs(": ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool write_whole(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

void write_all(int fd, const void *bytes, size_t n)
{
    if (!write_whole(fd, bytes, n))
        die("write: %s", strerror(errno));
}

void *must(void *allocated)
{
    if (!allocated)
        die("out of memory");
    return allocated;
}

void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        die("fcntl: %s", strerror(errno));
}

void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        die("cannot run on core %d: %s", cpu, strerror(errno));
}

void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void __attribute__((noreturn)) run(const char *program, int in, int out, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(in, 0) >= 0 && dup2(out, 1) >= 0)
        (void)execl(program, program, (char *)NULL);
    _exit(127);
}

struct child spawn_piped(const char *program)
{
    int in[2], out[2];
    pid_t parent = getpid();
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    (void)fcntl(in[1], F_SETPIPE_SZ, PIPE_BYTES);
    (void)fcntl(out[0], F_SETPIPE_SZ, PIPE_BYTES);
    struct child child = {.pid = fork(), .in = in[1], .out = out[0]};
    if (child.pid < 0)
        die("fork: %s", strerror(errno));
    if (child.pid == 0)
        run(program, in[0], out[1], parent);
    (void)close(in[0]);
    (void)close(out[1]);
    return child;
}

int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t room = sizeof(address.sun_path);
    if ((size_t)snprintf(address.sun_path, room, "%s.new", path) >= room)
        die("the socket's path is too long");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0 || rename(address.sun_path, path) < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}
