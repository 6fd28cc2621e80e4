/* What systemd is told (sd_notify(3), spoken without its library). */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "proto/base.h"

struct notify {
    int fd;           /* -1: nobody listens */
    char status[128]; /* as last told */
};

/* Connects to $NOTIFY_SOCKET, if there is one, and takes the variable out of the environment, so
 * that no worker speaks for us. 0 or -errno. */
int notify_init(struct notify *n) CP_MUSTCHECK;
void notify_deinit(struct notify *n);

/* Sends assignments, separated by newlines. Never blocks; failure is ignored, as nobody could be
 * told. */
void notify_send(const struct notify *n, const char *format, ...) CP_PRINTF(2, 3);

/* STATUS=, if it is not what was told last. */
void notify_status(struct notify *n, const char *format, ...) CP_PRINTF(2, 3);

/* How often WATCHDOG=1 is due, in seconds; 0 for never. Takes the variables out of the environment.
 */
double notify_watchdog_s(void);

/* The first descriptor that systemd passed, made close-on-exec; -1 if it passed none, -EINVAL if it
 * passed several. Takes the variables out of the environment. */
int notify_listen_fd(void);

#endif
