/* Preloaded into codex-poold: the machine that it runs on misbehaves as a test says.
 *
 * FAILING_CONTROL names a file of 64-bit numbers that both have mapped (see failing.mjs). Every
 * other program passes through untouched, so that workers may inherit it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call { CALL_READ, CALL_WRITE, CALL_ACCEPT, CALL_FORK, CALL_EPOLL_CTL, CALLS };

struct control {
    int64_t clock_offset_s; /* added to CLOCK_REALTIME */
    int64_t allocations;    /* so many there have been */
    int64_t fail_from;      /* the number of the first one that fails; 0: none */
    int64_t fail_count;     /* so many fail from there on */
    int64_t fail_bytes;     /* only those of at least so many bytes are counted */
    int64_t failed;         /* so many have failed */
    struct {
        int64_t error; /* errno of the next calls */
        int64_t count; /* so many of them fail */
    } calls[CALLS];
    int64_t passed_s; /* added to CLOCK_MONOTONIC: so much time has passed at once */
};

static struct control *control;

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("FAILING_CONTROL");
    if (!path || strcmp(program_invocation_short_name, "codex-poold") != 0)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED
                      : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        control = at;
    if (fd >= 0)
        close(fd);
}

static bool no_memory(size_t n)
{
    if (!control || (int64_t)n < control->fail_bytes)
        return false;
    int64_t number = ++control->allocations;
    if (!control->fail_from || number < control->fail_from ||
        number >= control->fail_from + control->fail_count)
        return false;
    control->failed++;
    errno = ENOMEM;
    return true;
}

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t n);

void *malloc(size_t n)
{
    return no_memory(n) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return no_memory(n * size) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
    return no_memory(n) ? NULL : __libc_realloc(old, n);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool fails(enum call call)
{
    if (!control || control->calls[call].count <= 0)
        return false;
    control->calls[call].count--;
    errno = (int)control->calls[call].error;
    return true;
}

ssize_t read(int fd, void *to, size_t n)
{
    return fails(CALL_READ) ? -1 : REAL(read)(fd, to, n);
}

ssize_t write(int fd, const void *from, size_t n)
{
    return fails(CALL_WRITE) ? -1 : REAL(write)(fd, from, n);
}

ssize_t writev(int fd, const struct iovec *from, int n)
{
    return fails(CALL_WRITE) ? -1 : REAL(writev)(fd, from, n);
}

int accept4(int fd, struct sockaddr *address, socklen_t *n, int flags)
{
    return fails(CALL_ACCEPT) ? -1 : REAL(accept4)(fd, address, n, flags);
}

pid_t fork(void)
{
    return fails(CALL_FORK) ? -1 : REAL(fork)();
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return op == EPOLL_CTL_ADD && fails(CALL_EPOLL_CTL) ? -1
                                                        : REAL(epoll_ctl)(epoll, op, fd, event);
}

int clock_gettime(clockid_t clock, struct timespec *to)
{
    int r = REAL(clock_gettime)(clock, to);
    if (r == 0 && control && clock == CLOCK_REALTIME)
        to->tv_sec += control->clock_offset_s;
    if (r == 0 && control && clock == CLOCK_MONOTONIC)
        to->tv_sec += control->passed_s;
    return r;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    int r = REAL(gettimeofday)(to, zone);
    if (r == 0 && control)
        to->tv_sec += control->clock_offset_s;
    return r;
}
