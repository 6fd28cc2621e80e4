#include "tests/fuzz/peers.h"

#include "daemon/client.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sys/socket.h>

/* The last one is no admin, and another user. */
#define STRANGER_UID 12345

void client_connect(struct stage *st, struct peer_client *c, size_t i)
{
    struct server *s = &st->server;
    int fds[2];
    /* As many as the listener would let in. */
    if (c->fd >= 0 || s->phase != SERVER_RUNNING || s->n_clients >= (size_t)s->config->max_clients)
        return;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0, "no socket");
    uid_t uid = i == CLIENTS - 1 ? STRANGER_UID : geteuid();
    MUST(client_new(s, fds[1], uid, uid, getpid()), "out of memory");
    *c = (struct peer_client){.fd = fds[0]};
    outbuf_init(&c->out);
    linebuf_init(&c->in, SIZE_MAX / 4);
    /* It speaks lines, whatever letter its first message begins with. */
    MUST(outbuf_line(&c->out, SLICE_NULL) == 0, "out of memory");
    promises_init(&c->promises, ++st->serials, &st->strays, (size_t)s->config->max_message_bytes);
}

void client_write(struct stage *st, struct peer_client *c, struct slice payload, bool line)
{
    char mark[MARK_MAX];
    if (c->fd < 0 || c->hung_up)
        return;
    mark_write(mark, 'c', c->promises.serial);
    struct writer writer = {.mark = mark, .names = &c->threads};
    size_t before = outbuf_len(&c->out);
    payload_expand(&c->out, payload, &writer, &st->budget);
    if (line)
        MUST(outbuf_line(&c->out, SLICE_NULL) == 0, "out of memory");
    promises_sent(&c->promises, payload_since(&c->out, before));
    if (c->promises.serial < SERIALS_MAX)
        st->attach[c->promises.serial] = c->promises.attaches;
}

void client_leave(struct peer_client *c)
{
    if (c->fd < 0)
        return;
    outbuf_deinit(&c->out);
    linebuf_deinit(&c->in);
    promises_deinit(&c->promises);
    names_free(&c->threads);
    c->fd = cp_close(c->fd);
}

static void take_lines(struct peer_client *c)
{
    struct slice line;
    while (linebuf_next(&c->in, &line) == LINEBUF_OK)
        promises_line(&c->promises, line);
}

void client_pump(struct stage *st, struct peer_client *c)
{
    if (c->fd < 0)
        return;
    size_t before = outbuf_len(&c->out);
    if (outbuf_flush(&c->out, c->fd) < 0) {
        /* The daemon has closed it. What it said before is still to be read. */
        outbuf_deinit(&c->out);
        c->hung_up = true;
    }
    st->moved += before - outbuf_len(&c->out);
    for (int r = LINEBUF_OK; r == LINEBUF_OK && !c->deaf;) {
        before = linebuf_pending(&c->in);
        r = linebuf_read(&c->in, c->fd);
        st->moved += linebuf_pending(&c->in) - before;
        c->hung_up = c->hung_up || (r != LINEBUF_OK && r != LINEBUF_AGAIN);
        take_lines(c);
    }
}

bool client_listens(const struct peer_client *c)
{
    return c->fd >= 0 && !c->deaf && !c->hung_up && !outbuf_len(&c->out);
}
