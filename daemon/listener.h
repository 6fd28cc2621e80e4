/* The listening socket: bound here or handed over by systemd, and who comes in by it. */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "proto/base.h"

#include <ev.h>
#include <sys/types.h>

struct server;

struct listener {
    int fd; /* -1: not listening */
    char *path;
    bool inherited; /* systemd owns the socket file */
    bool paused;
    bool exhausted; /* somebody waits for a descriptor, which has been logged */
    dev_t dev;
    ino_t ino; /* of the socket file that is ours to remove */
    ev_io readable;
    ev_timer again; /* after a lack of descriptors */
    ev_stat file;   /* the socket file, should it go; active once the loop runs */
    ev_timer look;  /* whether it is still there, for what no event tells; often while it is not */
    bool lost;      /* it is not, which has been logged */
};

/* Binds the configured path, or takes the socket that systemd passed. 0, or a sysexits.h code with
 * the reason logged. Accepts nobody before listener_resume. */
int listener_init(struct server *s);

/* Stops listening and removes the socket file if it is ours. Harmless when called twice. */
void listener_close(struct server *s);

/* Stops and goes on accepting; who connects meanwhile waits in the kernel's queue. */
void listener_pause(struct server *s);
void listener_resume(struct server *s);

#endif
