#include "client/top_link.h"

#include "client/fields.h"
#include "client/session.h"
#include "proto/rpc.h"
#include "proto/sockpath.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define LINK_MAX_LINE ((size_t)1024 * 1024 * 1024)

struct asked {
    struct list node;
    int64_t id;
    char *what;
};

void link_init(struct top_link *l, const char *path)
{
    *l = (struct top_link){.path = path, .fd = -1};
    linebuf_init(&l->in, LINK_MAX_LINE);
    outbuf_init(&l->out);
    list_init(&l->asked);
}

static char *forget(struct asked *a)
{
    char *what = a->what;
    list_remove(&a->node);
    free(a);
    return what;
}

void link_deinit(struct top_link *l)
{
    l->fd = cp_close(l->fd);
    linebuf_deinit(&l->in);
    outbuf_deinit(&l->out);
    list_for_each_safe (it, &l->asked)
        free(forget(list_entry(it, struct asked, node)));
}

void link_disconnect(struct top_link *l, const char *why)
{
    l->fd = cp_close(l->fd);
    l->status_id = 0;
    linebuf_deinit(&l->in);
    linebuf_init(&l->in, LINK_MAX_LINE);
    l->out.begin = l->out.end = 0;
    (void)snprintf(l->why, sizeof(l->why), "%s", l->said[0] ? l->said : why);
    l->said[0] = '\0';
}

bool link_connect(struct top_link *l)
{
    struct sockaddr_un address;
    int r = sockpath_address(l->path, &address);
    l->fd = r < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r == 0 && (l->fd < 0 || connect(l->fd, (struct sockaddr *)&address, sizeof(address)) < 0))
        r = -errno;
    if (r < 0)
        link_disconnect(l, strerror(-r));
    return r == 0;
}

static int send_request(struct top_link *l, const char *method, cJSON *params)
{
    char id[24];
    (void)snprintf(id, sizeof(id), "%" PRId64, ++l->last_id);
    _cleanup_free_ char *line = rpc_request(slice_str(id), method, params);
    int r = line ? outbuf_line(&l->out, slice_str(line)) : -ENOMEM;
    /* A connection that is broken is noticed where it is read. */
    if (r == 0)
        (void)!outbuf_flush(&l->out, l->fd);
    return r;
}

int link_ask_status(struct top_link *l)
{
    if (l->status_id)
        return 0;
    int r = send_request(l, "pool/status", NULL);
    if (r == 0)
        l->status_id = l->last_id;
    return r;
}

int link_ask(struct top_link *l, const char *method, cJSON *params, const char *what)
{
    struct asked *a = calloc(1, sizeof(*a));
    if (a)
        a->what = strdup(what);
    if (!a || !a->what) {
        free(a);
        cJSON_Delete(params);
        return -ENOMEM;
    }
    int r = send_request(l, method, params);
    a->id = l->last_id;
    list_append(&l->asked, &a->node);
    if (r < 0)
        free(forget(a));
    return r;
}

short link_wants(const struct top_link *l)
{
    return (short)(POLLIN | (outbuf_len(&l->out) ? POLLOUT : 0));
}

void link_move(struct top_link *l)
{
    if (l->fd < 0)
        return;
    if (outbuf_len(&l->out))
        (void)!outbuf_flush(&l->out, l->fd);
    int r = linebuf_read(&l->in, l->fd);
    if (r == LINEBUF_EOF)
        link_disconnect(l, "it has closed the connection");
    else if (r < 0)
        link_disconnect(l, strerror(-r));
}

static struct asked *find(struct top_link *l, int64_t id)
{
    list_for_each (it, &l->asked)
        if (list_entry(it, struct asked, node)->id == id)
            return list_entry(it, struct asked, node);
    return NULL;
}

/* "MESSAGE (CODE)" of a response's error. */
static char *error_words(struct slice error)
{
    char *words = NULL;
    cJSON *tree = cJSON_ParseWithLength(error.p, error.n);
    const char *message = field_text(tree, "message");
    if (asprintf(&words, "%s (%.0f)", message ? message : "refused",
                 field_number(tree, "code", 0)) < 0)
        words = NULL;
    cJSON_Delete(tree);
    return words;
}

/* One that belongs to no request. */
static void note_error(struct top_link *l, struct slice error)
{
    _cleanup_free_ char *words = error_words(error);
    (void)snprintf(l->said, sizeof(l->said), "%s", words ? words : "");
}

static enum link_event take(struct top_link *l, const struct envelope *e, struct link_message *m)
{
    int64_t id = session_id(e->id);
    if (l->status_id && id == l->status_id) {
        l->status_id = 0;
        m->status = e->result.p ? cJSON_ParseWithLength(e->result.p, e->result.n) : NULL;
        if (m->status)
            return LINK_STATUS;
        m->what = strdup("pool/status");
        m->error = e->error.p ? error_words(e->error) : strdup("out of memory");
        return LINK_FAILED;
    }
    struct asked *a = find(l, id);
    if (!a)
        return LINK_NOTHING;
    m->what = forget(a);
    m->error = e->result.p ? NULL : error_words(e->error);
    return e->result.p ? LINK_DONE : LINK_FAILED;
}

/* Of one that is not connected any more. */
static enum link_event lost(struct top_link *l, struct link_message *m)
{
    struct asked *a = list_first(&l->asked, struct asked, node);
    if (!a)
        return LINK_LOST;
    m->what = forget(a);
    m->error = strdup("the daemon went away before it was done");
    return LINK_FAILED;
}

enum link_event link_next(struct top_link *l, struct link_message *m)
{
    struct slice line;
    int r;
    *m = (struct link_message){0};
    if (l->fd < 0)
        return lost(l, m);
    while ((r = linebuf_next(&l->in, &line)) == LINEBUF_OK) {
        struct envelope e;
        const char *why;
        bool valid = envelope_scan(line, &e, &why) == ENVELOPE_OK;
        if (!valid && e.error.p)
            note_error(l, e.error);
        if (!valid || e.kind != ENVELOPE_RESPONSE)
            continue;
        enum link_event event = take(l, &e, m);
        if (event != LINK_NOTHING)
            return event;
    }
    if (r != LINEBUF_TOO_LONG)
        return LINK_NOTHING;
    link_disconnect(l, "it said more than there is room for");
    return lost(l, m);
}
