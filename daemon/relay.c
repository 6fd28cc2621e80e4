#include "daemon/relay.h"

#include "daemon/client.h"
#include "daemon/progress.h"
#include "daemon/trace.h"
#include "proto/front.h"

/* Where a line starts after "{"method":"". */
#define METHOD_AT 11

static struct slice method_of(const struct relay *r)
{
    return (struct slice){r->lines.p + METHOD_AT, r->method_n};
}

/* Nobody but its reader has anything to do with what is said in it. */
static bool streams_to_reader(const struct worker *w, const struct thread *t, struct slice method)
{
    const struct client *c = t && t->owner == w ? t->subscriber : NULL;
    /* Who is parked may come back by WebSocket, which takes nothing but text. */
    return c && !c->doomed && c->transport == CLIENT_LINES && !c->park && !t->move && !t->opening &&
           !t->provisional && !client_opted_out(c, method);
}

static bool begin(struct relay *r, struct worker *w, struct slice line)
{
    struct server *s = w->server;
    struct front f;
    if (!front_scan(line, &f) || !front_is_delta(&f) || !list_empty(&s->tracers) ||
        s->log.level >= LOG_TRACE)
        return false;
    struct thread *t = threads_find(&s->threads, f.thread_id);
    if (!streams_to_reader(w, t, f.method))
        return false;
    *r = (struct relay){t, {line.p, line.n + 1}, f.n, f.method.n};
    return true;
}

static bool continues(const struct relay *r, struct slice line)
{
    return line.p == r->lines.p + r->lines.n && line.n >= r->front &&
           memcmp(line.p, r->lines.p, r->front) == 0;
}

static void pass_on(struct relay *r, struct worker *w, bool more)
{
    struct thread *t = r->thread;
    if (!t)
        return;
    struct envelope e = {.kind = ENVELOPE_NOTIFICATION, .method = method_of(r)};
    r->thread = NULL;
    worker_note_event(w, e.method);
    client_send_lines(t->subscriber, r->lines, more);
    progress_notified(w, t, &e);
}

bool relay_take(struct relay *r, struct worker *w, struct slice line)
{
    /* Of "\r\n" the first is not the line's. */
    bool whole = line.p[line.n] == '\n';
    if (r->thread && whole && continues(r, line)) {
        r->lines.n += line.n + 1;
        return true;
    }
    pass_on(r, w, true);
    return whole && begin(r, w, line);
}

void relay_flush(struct relay *r, struct worker *w)
{
    pass_on(r, w, false);
}
