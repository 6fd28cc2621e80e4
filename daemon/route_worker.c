#include "daemon/router.h"

#include "daemon/abort.h"
#include "daemon/asks.h"
#include "daemon/closed.h"
#include "daemon/lacks.h"
#include "daemon/lockholder.h"
#include "daemon/move.h"
#include "daemon/move_hide.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/problems.h"
#include "daemon/progress.h"
#include "daemon/renew.h"
#include "daemon/trace.h"
#include "proto/json.h"

/* A worker of ours that holds a lock lets go within milliseconds. */
#define WRITER_RETRY_MS 20
#define WRITER_TRIES 100

/* Whoever it is about does not listen, or is gone. */
static void drop(struct worker *w, const struct envelope *e)
{
    w->server->counters.dropped_messages++;
    log_worker(w, LOG_TRACE, "nobody for %.*s", (int)(e->method.n < 64 ? e->method.n : 64),
               e->method.p ? e->method.p : "");
}

static void deliver(struct worker *w, struct client *c, const struct envelope *e, struct slice line)
{
    if (!c || c->doomed)
        drop(w, e);
    else if (slice_is(e->method, "serverRequest/resolved"))
        asks_resolved(w, c, e, line);
    else if (!client_opted_out(c, e->method))
        client_send_spliced(c,
                            &(struct splice){.line = line, .block = linebuf_block(&w->out, line)});
}

/* Whose login it was. */
static struct client *account_client(struct worker *w)
{
    list_for_each (it, &w->server->clients) {
        struct client *c = list_entry(it, struct client, in_clients);
        if (c->admin_worker == w->id)
            return c;
    }
    return NULL;
}

/* One that names no thread is for whoever has the worker. */
static void notification_without_thread(struct worker *w, const struct envelope *e,
                                        struct slice line)
{
    bool login = slice_starts(e->method, "account/login/") ||
                 slice_starts(e->method, "account/gatewayOAuth/") ||
                 slice_is(e->method, "account/updated");
    struct client *c = login ? account_client(w) : NULL;
    /* What it says as it loads a thread that moves here is nothing to the one it moves for. */
    if (!c && w->incoming)
        drop(w, e);
    else
        deliver(w, c ? c : w->lease.holder, e, line);
    /* The other workers see a new login late, if at all. */
    if (slice_is(e->method, "account/login/completed"))
        renew_retire_others(w, "account/login/completed");
}

static void notification(struct worker *w, const struct envelope *e, struct slice line)
{
    if (!e->thread_id.n) {
        notification_without_thread(w, e, line);
        return;
    }
    struct thread *t = threads_find(&w->server->threads, e->thread_id);
    bool fresh = !t && !closed_has(w->closed, e->thread_id);
    if (fresh)
        t = progress_unknown(w, e);
    if (!t || t->owner != w) {
        /* What is said of the thread as such, that is, not what is said in it. That it is no longer
         * loaded is nothing to whoever asked for it while it was. */
        bool is_left_over = !fresh && (slice_is(e->method, "thread/status/changed") ||
                                       slice_is(e->method, "thread/closed"));
        bool of_thread = slice_starts(e->method, "thread/") && !is_left_over;
        struct client *asker;
        bool asked = ownership_asker(w, e->thread_id, &asker);
        bool to_holder = fresh && !t && !asked;
        deliver(w, to_holder ? w->lease.holder : of_thread ? asker : NULL, e, line);
        return;
    }
    if (!move_hides(t, e))
        deliver(w, ownership_reader(t, e->method), e, line);
    progress_notified(w, t, e);
}

/* The lock is held elsewhere. By a worker of ours: it is about to let go, so try again. By a
 * process outside the pool: say which. False: pass Codex's own answer on. */
static bool resolve_writer(struct worker *w, struct request *r)
{
    struct server *s = r->server;
    struct lock_holder holder = lockholder_find(s, r->thread_id);
    if (holder.pid && !holder.ours) {
        problems_locked(s, r->thread_id, &holder);
        request_refuse(r, RPC_INVALID_REQUEST,
                       "thread %s already has an active writer: process %d (%s), which is not of "
                       "this pool",
                       r->thread_id, (int)holder.pid, holder.command);
        pool_settle(w);
        return true;
    }
    /* A pool that stops does not wait for it. */
    if (++r->tries > WRITER_TRIES || s->phase != SERVER_RUNNING)
        return false;
    pool_unlease_request(r);
    if (request_park(r, REQUEST_BLOCKED, &s->retrying)) {
        r->retry = true;
        (void)request_start_timer(r, WRITER_RETRY_MS);
    }
    pool_settle(w);
    return true;
}

/* With its client's own id in it. */
static void pass_answer(const struct worker *w, const struct request *r, const struct envelope *e,
                        struct slice line)
{
    client_send_spliced(r->client,
                        &(struct splice){line, (size_t)(e->id.p - line.p), e->id.n,
                                         slice_str(r->id), linebuf_block(&w->out, line)});
}

static void answer(struct worker *w, const struct envelope *e, struct slice line)
{
    struct request *r = worker_take_answered(w, e->id);
    if (!r) {
        drop(w, e);
        return;
    }
    if (!r->client)
        lacks_heard(w, r->method->name, e->error);
    if (r->done) {
        r->done(w, e, r->arg);
        r->done = NULL;
    } else if (r->client && !e->result.p && (r->method->flags & METHOD_LOCKS) && r->thread_id &&
               rpc_says_not_free(e->error)) {
        progress_answered(w, r, e);
        if (resolve_writer(w, r))
            return;
        pass_answer(w, r, e, line);
    } else if (r->client) {
        pass_answer(w, r, e, line);
        progress_answered(w, r, e);
    } else {
        progress_orphan_answered(w, r, e);
    }
    request_free(r);
    abort_check(w);
    pool_settle(w);
}

void router_worker_line(struct worker *w, struct slice line)
{
    struct server *s = w->server;
    struct envelope e;
    const char *why;
    log_event(&s->log, LOG_TRACE, &(struct log_fields){.worker = w->id}, "worker %u > %.*s", w->id,
              (int)(line.n < 200 ? line.n : 200), line.p);
    trace_message(s, TRACE_FROM_WORKER, NULL, w, line, 0, SLICE_NULL);
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK) {
        s->counters.dropped_messages++;
        log_worker(w, LOG_WARN, "dropped a line of %zu bytes: %s", line.n, why);
        return;
    }
    worker_note_event(w, e.method);
    switch (e.kind) {
    case ENVELOPE_RESPONSE:
        answer(w, &e, line);
        break;
    case ENVELOPE_REQUEST:
        asks_from_worker(w, &e, line);
        break;
    case ENVELOPE_NOTIFICATION:
        notification(w, &e, line);
        break;
    }
}
