#include "daemon/listener.h"

#include "daemon/client.h"
#include "daemon/server.h"
#include "proto/rpc.h"
#include "proto/sockpath.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>

#define BACKLOG 1024
/* Accepted in one go, so that newcomers do not keep the others waiting. */
#define ACCEPT_BATCH 64
#define RETRY_S 0.1
/* How often it is looked whether the socket file is there: no event tells that a directory above it
 * has another name, or another file system is mounted there. And where it is not. */
#define LOOK_S 60.
#define LOOK_LOST_S 2.

static void on_readable(struct ev_loop *loop, ev_io *w, int revents);
static void on_again(struct ev_loop *loop, ev_timer *timer, int revents);
static void on_look(struct ev_loop *loop, ev_timer *timer, int revents);
static void on_changed(struct ev_loop *loop, ev_stat *file, int revents);

/* The socket's directory, made if it is not there: a descriptor, or -errno. */
static int open_directory(const char *path)
{
    _cleanup_free_ char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    const char *dir = dirname(copy);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Why others could put a socket of theirs in this directory in place of ours; NULL if they cannot.
 * A group of the user's own number is nobody else's. */
static const char *unsafe_directory(int fd, char *room, size_t n)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return strerror(errno);
    bool by_group = (st.st_mode & S_IWGRP) && (st.st_gid != getegid() || st.st_gid != geteuid());
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        (void)snprintf(room, n, "it belongs to uid %u", (unsigned)st.st_uid);
        return room;
    }
    if ((!by_group && !(st.st_mode & S_IWOTH)) || (st.st_mode & S_ISVTX))
        return NULL;
    (void)snprintf(room, n, "others may write to it (mode %04o)", st.st_mode & 07777U);
    return room;
}

/* True unless it is certain that no daemon is there. */
static bool somebody_answers(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* Any other error (a full backlog, no permission) does not say that nobody is there. */
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
           errno != ECONNREFUSED;
}

static int bind_at(struct server *s, const struct sockaddr_un *address)
{
    struct listener *l = &s->listener;
    struct stat st;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return -errno;
    /* Narrow from the first moment on; widened by chmod below if wanted. */
    mode_t before = umask(0177);
    int r = bind(l->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
    (void)umask(before);
    if (r < 0)
        return r;
    if (stat(l->path, &st) < 0 || chmod(l->path, s->config->socket_mode) < 0)
        return -errno;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return listen(l->fd, BACKLOG) < 0 ? -errno : 0;
}

/* A socket file that is in the way: 0 where it may be replaced. */
static int check_old_socket(struct server *s, enum log_level level, const struct stat *st,
                            const struct sockaddr_un *address)
{
    const char *path = s->listener.path;
    if (!S_ISSOCK(st->st_mode)) {
        log_at(&s->log, level, "%s: is there and is no socket", path);
        return EX_CANTCREAT;
    }
    if (somebody_answers(address)) {
        log_at(&s->log, level,
               "%s: another daemon answers there; stop it or choose another "
               "place by --socket",
               path);
        return EX_UNAVAILABLE;
    }
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        log_at(&s->log, level, "%s: is there and belongs to uid %u; remove it first", path,
               (unsigned)st->st_uid);
        return EX_CANTCREAT;
    }
    return 0;
}

static int listen_at_path(struct server *s)
{
    struct listener *l = &s->listener;
    struct sockaddr_un address;
    struct stat st;
    char room[64];
    /* Said once, not at each look. */
    enum log_level level = l->lost ? LOG_DEBUG : LOG_ERROR;
    int r = sockpath_address(l->path, &address);
    if (r < 0) {
        log_error(&s->log, "%s: too long for a socket's path", l->path);
        return EX_CONFIG;
    }
    _cleanup_close_ int dir = open_directory(l->path);
    if (dir < 0) {
        log_at(&s->log, level,
               "%s: cannot open its directory: %s; choose another place by --socket", l->path,
               strerror(-dir));
        return EX_CANTCREAT;
    }
    /* Two daemons that start at once must not take each other's new socket for a stale one. Once
     * the loop runs there is no waiting for the other. */
    if (flock(dir, LOCK_EX | (ev_is_active(&l->look) ? LOCK_NB : 0)) < 0 && errno == EWOULDBLOCK)
        return EX_TEMPFAIL;
    bool there = lstat(l->path, &st) == 0;
    if (there && (r = check_old_socket(s, level, &st, &address)) != 0)
        return r;
    const char *unsafe = unsafe_directory(dir, room, sizeof(room));
    if (unsafe) {
        log_at(&s->log, level,
               "%s: its directory is not safe: %s; choose another place by --socket", l->path,
               unsafe);
        return EX_CANTCREAT;
    }
    if (there) {
        log_info(&s->log, "%s: replacing the socket file of a daemon that is gone", l->path);
        (void)unlink(l->path);
    }
    r = bind_at(s, &address);
    if (r == 0)
        return 0;
    log_at(&s->log, level, "%s: cannot listen: %s", l->path, strerror(-r));
    return EX_CANTCREAT;
}

/* Checks what systemd has passed. */
static int adopt(struct server *s, int fd)
{
    struct listener *l = &s->listener;
    int accepting = 0;
    socklen_t n = sizeof(accepting);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &n) < 0 || !accepting ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        log_error(&s->log, "LISTEN_FDS: must be one listening stream socket");
        return EX_CONFIG;
    }
    l->fd = fd;
    l->inherited = true;
    /* Where systemd listens, which need not be where this daemon would have. */
    struct sockaddr_un address = {0};
    socklen_t size = sizeof(address) - 1;
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.sun_path[0]) {
        free(l->path);
        l->path = strdup(address.sun_path);
    }
    return l->path ? 0 : EX_OSERR;
}

int listener_init(struct server *s)
{
    struct listener *l = &s->listener;
    *l = (struct listener){.fd = -1, .paused = true, .path = strdup(s->config->socket)};
    ev_init(&l->readable, on_readable);
    ev_timer_init(&l->again, on_again, RETRY_S, 0.);
    ev_timer_init(&l->look, on_look, LOOK_S, LOOK_S);
    ev_stat_init(&l->file, on_changed, l->path, 0.);
    if (!l->path)
        return EX_OSERR;
    int inherited = notify_listen_fd();
    int r = inherited != -1 ? adopt(s, inherited) : listen_at_path(s);
    if (r == 0)
        ev_io_set(&l->readable, l->fd, EV_READ);
    if (r == 0 && !l->inherited) {
        ev_timer_start(s->loop, &l->look);
        ev_stat_start(s->loop, &l->file);
    }
    return r;
}

/* The file that clients connect by is the one that this daemon has made. */
static bool file_is_ours(const struct listener *l)
{
    struct stat st;
    return lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

/* The file may be gone, with its directory perhaps, so that nobody finds the way here any more:
 * listens there anew, unless somebody else does. Who is connected notices nothing. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct listener *l = container_of(timer, struct listener, look);
    struct server *s = container_of(l, struct server, listener);
    bool paused = l->paused;
    (void)revents;
    l->look.repeat = LOOK_S;
    if (file_is_ours(l)) {
        if (l->lost)
            log_info(&s->log, "%s: the socket file is back", l->path);
        l->lost = false;
        return;
    }
    if (!l->lost)
        log_warn(&s->log, "%s: the socket file is gone; listening there anew", l->path);
    listener_pause(s);
    int before = take_fd(&l->fd);
    int r = listen_at_path(s);
    if (r != 0) {
        (void)cp_close(l->fd);
        l->fd = take_fd(&before);
    }
    (void)cp_close(before);
    l->lost = r != 0;
    if (!l->lost) {
        /* The old file may live on where its directory has gone, and would be watched there. */
        ev_stat_stop(loop, &l->file);
        ev_stat_start(loop, &l->file);
    }
    l->look.repeat = l->lost ? LOOK_LOST_S : LOOK_S;
    ev_timer_again(loop, &l->look);
    ev_io_set(&l->readable, l->fd, EV_READ);
    if (!paused)
        listener_resume(s);
}

/* Not at once: whoever removes the file may be about to remove its directory. */
static void on_changed(struct ev_loop *loop, ev_stat *file, int revents)
{
    struct listener *l = container_of(file, struct listener, file);
    (void)revents;
    if (l->lost || file_is_ours(l))
        return;
    l->look.repeat = LOOK_LOST_S;
    ev_timer_again(loop, &l->look);
}

void listener_close(struct server *s)
{
    struct listener *l = &s->listener;
    listener_pause(s);
    ev_timer_stop(s->loop, &l->look);
    ev_stat_stop(s->loop, &l->file);
    if (l->fd >= 0 && !l->inherited && file_is_ours(l))
        (void)unlink(l->path);
    l->fd = cp_close(l->fd);
    free(l->path);
    l->path = NULL;
}

void listener_pause(struct server *s)
{
    struct listener *l = &s->listener;
    if (l->paused)
        return;
    l->paused = true;
    ev_io_stop(s->loop, &l->readable);
    ev_timer_stop(s->loop, &l->again);
}

void listener_resume(struct server *s)
{
    struct listener *l = &s->listener;
    if (!l->paused || l->fd < 0)
        return;
    l->paused = false;
    ev_io_start(s->loop, &l->readable);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct server *s = timer->data;
    (void)loop;
    (void)revents;
    listener_resume(s);
}

/* By its main group or any other it has. */
static bool in_allowed_group(const struct config *config, int fd, gid_t gid)
{
    gid_t groups[256];
    socklen_t size = sizeof(groups);
    if (config->allow_gids[0] < 0)
        return false;
    if (config_has_id(config->allow_gids, (int64_t)gid))
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (size_t i = 0; i < size / sizeof(gid_t); i++)
        if (config_has_id(config->allow_gids, (int64_t)groups[i]))
            return true;
    return false;
}

/* Says why and closes; the connection has taken nothing yet. */
static void turn_away(struct server *s, int fd, const struct ucred *who)
{
    _cleanup_free_ char *line = rpc_error(SLICE_NULL, RPC_FORBIDDEN,
                                          "This user may not connect: not in allowUids or "
                                          "allowGids.",
                                          NULL);
    log_warn(&s->log, "refused uid %u (pid %d): not in allowUids or allowGids", (unsigned)who->uid,
             (int)who->pid);
    s->counters.rejected++;
    if (line) {
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)!send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)cp_close(fd);
}

static void welcome(struct server *s, int fd)
{
    struct ucred who = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t size = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 ||
        (!config_has_id(s->config->allow_uids, (int64_t)who.uid) &&
         !in_allowed_group(s->config, fd, who.gid))) {
        turn_away(s, fd, &who);
        return;
    }
    if (!client_new(s, fd, who.uid, who.gid, who.pid))
        log_error(&s->log, "out of memory for a client");
    if (s->n_clients >= (size_t)s->config->max_clients) {
        log_warn(&s->log, "maxClients (%lld) are connected: others wait to be accepted",
                 (long long)s->config->max_clients);
        listener_pause(s);
    }
}

/* Others may give back what there is none of now. */
static void try_later(struct server *s, int error)
{
    struct listener *l = &s->listener;
    if (!l->exhausted)
        log_error(&s->log, "cannot accept: %s; trying again", strerror(error));
    l->exhausted = true;
    listener_pause(s);
    l->again.data = s;
    ev_timer_set(&l->again, RETRY_S, 0.);
    ev_timer_start(s->loop, &l->again);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct listener *l = container_of(w, struct listener, readable);
    struct server *s = container_of(l, struct server, listener);
    (void)loop;
    /* The kernel has no room for one more watched descriptor, so libev has let go of it. */
    if (revents & EV_ERROR)
        try_later(s, ENOSPC);
    for (int i = 0; i < ACCEPT_BATCH && !l->paused; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            welcome(s, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            try_later(s, errno);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            l->exhausted = false;
            break;
        }
    }
}
