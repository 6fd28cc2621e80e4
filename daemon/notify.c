#include "daemon/notify.h"

#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LISTEN_FDS_START 3

int notify_init(struct notify *n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *n = (struct notify){.fd = -1};
    if (!path || (path[0] != '/' && path[0] != '@'))
        return 0;
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    (void)unsetenv("NOTIFY_SOCKET");
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd < 0)
        return -errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (connect(n->fd, (struct sockaddr *)&address, size) < 0) {
        int error = -errno;
        n->fd = cp_close(n->fd);
        return error;
    }
    return 0;
}

void notify_deinit(struct notify *n)
{
    n->fd = cp_close(n->fd);
}

void notify_send(const struct notify *n, const char *format, ...)
{
    char message[1024];
    va_list args;
    if (n->fd < 0)
        return;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof(message))
        (void)!send(n->fd, message, (size_t)len, MSG_NOSIGNAL);
}

void notify_status(struct notify *n, const char *format, ...)
{
    char status[sizeof(n->status)];
    va_list args;
    if (n->fd < 0)
        return;
    va_start(args, format);
    (void)vsnprintf(status, sizeof(status), format, args);
    va_end(args);
    json_clean_text(status);
    /* A line of its own would be another variable for systemd. */
    for (char *p = status; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    if (strcmp(status, n->status) == 0)
        return;
    memcpy(n->status, status, sizeof(status));
    notify_send(n, "STATUS=%s", status);
}

/* The variable's value where its companion names this process or nobody; then both are gone. */
static char *take_variable(const char *name, const char *pid_name)
{
    const char *value = getenv(name);
    const char *pid = getenv(pid_name);
    char *taken = NULL;
    if (value && (!pid || strtol(pid, NULL, 10) == (long)getpid()))
        taken = strdup(value);
    (void)unsetenv(name);
    (void)unsetenv(pid_name);
    return taken;
}

double notify_watchdog_s(void)
{
    _cleanup_free_ char *usec = take_variable("WATCHDOG_USEC", "WATCHDOG_PID");
    double seconds = usec ? (double)strtoull(usec, NULL, 10) / 1e6 : 0;
    return seconds / 2;
}

int notify_listen_fd(void)
{
    _cleanup_free_ char *count = take_variable("LISTEN_FDS", "LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    long n = count ? strtol(count, NULL, 10) : 0;
    if (n <= 0)
        return -1;
    if (n > 1)
        return -EINVAL;
    int flags = fcntl(LISTEN_FDS_START, F_GETFD);
    if (flags < 0 || fcntl(LISTEN_FDS_START, F_SETFD, flags | FD_CLOEXEC) < 0)
        return -EINVAL;
    return LISTEN_FDS_START;
}
