#include "daemon/worker_io.h"

#include "daemon/client.h"
#include "daemon/relay.h"
#include "daemon/request.h"
#include "daemon/router.h"
#include "daemon/trace.h"
#include "proto/decimal.h"
#include "proto/json.h"
#include "proto/rpc.h"

#include <assert.h>
#include <errno.h>
#include <sys/ioctl.h>

#define STDERR_LINE_MAX 512
/* There are few workers, and they always have something to say; of clients there may be many that
 * only wait, and so these keep nothing. */
#define BUFFER_KEEP ((size_t)64 * 1024)
/* Above this much unwritten input its clients are not read from; below half of it they are again.
 */
#define INPUT_HIGH ((size_t)1024 * 1024)

/* Ids that a worker sees: the slot in the low bits, a count above, so that a late answer to a
 * request that was given up cannot be taken for the answer to the slot's next one. */
#define SLOT_BITS 7
static_assert(1u << SLOT_BITS == WORKER_SLOTS, "slots fit their bits");

static void on_output(struct ev_loop *loop, ev_io *watch, int revents);
static void on_input(struct ev_loop *loop, ev_io *watch, int revents);
static void on_stderr(struct ev_loop *loop, ev_io *watch, int revents);
static void on_exec(struct ev_loop *loop, ev_io *watch, int revents);

void worker_io_init(struct worker *w)
{
    ev_init(&w->out_watch, on_output);
    ev_init(&w->in_watch, on_input);
    ev_init(&w->err_watch, on_stderr);
    ev_init(&w->exec_watch, on_exec);
    ev_set_priority(&w->out_watch, PRIORITY_HAPPENED);
    ev_set_priority(&w->in_watch, PRIORITY_HAPPENED);
    ev_set_priority(&w->err_watch, PRIORITY_HAPPENED);
    ev_set_priority(&w->exec_watch, PRIORITY_HAPPENED);
}

void worker_io_open(struct worker *w, const struct spawned *child)
{
    struct ev_loop *loop = w->server->loop;
    w->stdin_fd = child->stdin_fd;
    w->stdout_fd = child->stdout_fd;
    w->stderr_fd = child->stderr_fd;
    w->exec_fd = child->exec_fd;
    linebuf_init(&w->out, (size_t)w->server->config->max_message_bytes);
    linebuf_init(&w->err, STDERR_LINE_MAX);
    outbuf_init(&w->in);
    w->out.keep = w->in.keep = BUFFER_KEEP;
    ev_io_set(&w->out_watch, w->stdout_fd, EV_READ);
    ev_io_set(&w->in_watch, w->stdin_fd, EV_WRITE);
    ev_io_set(&w->err_watch, w->stderr_fd, EV_READ);
    ev_io_set(&w->exec_watch, w->exec_fd, EV_READ);
    ev_io_start(loop, &w->out_watch);
    ev_io_start(loop, &w->err_watch);
    ev_io_start(loop, &w->exec_watch);
}

static void resume_stuck(struct worker *w)
{
    list_for_each_safe (it, &w->stuck) {
        struct client *c = list_entry(it, struct client, in_stuck);
        list_remove(it);
        client_resume(c, CLIENT_PAUSE_WORKER);
    }
}

void worker_io_close_stdin(struct worker *w)
{
    ev_io_stop(w->server->loop, &w->in_watch);
    w->stdin_fd = cp_close(w->stdin_fd);
    outbuf_deinit(&w->in);
    list_remove(&w->in_dirty);
    resume_stuck(w);
}

void worker_io_close(struct worker *w)
{
    struct ev_loop *loop = w->server->loop;
    worker_io_close_stdin(w);
    ev_io_stop(loop, &w->out_watch);
    ev_io_stop(loop, &w->err_watch);
    ev_io_stop(loop, &w->exec_watch);
    w->stdout_fd = cp_close(w->stdout_fd);
    w->stderr_fd = cp_close(w->stderr_fd);
    w->exec_fd = cp_close(w->exec_fd);
    linebuf_deinit(&w->out);
    linebuf_deinit(&w->err);
    w->out_held = false;
}

/* The kernel has no room for one more watched descriptor, so libev has let go of it. */
static bool cannot_watch(struct worker *w, int revents)
{
    if (revents & EV_ERROR)
        worker_fail(w, "its pipes cannot be watched");
    return revents & EV_ERROR;
}

void worker_note_event(struct worker *w, struct slice method)
{
    size_t n = method.n < EVENT_MAX - 1 ? method.n : EVENT_MAX - 1;
    if (!n)
        return;
    memcpy(w->event, method.p, n);
    w->event[n] = '\0';
    w->event_at = w->last_heard;
}

/* Hands every whole line on. False when the output can no longer be understood. */
static bool take_lines(struct worker *w)
{
    struct relay relay = {0};
    struct slice line;
    int r;
    while ((r = linebuf_next(&w->out, &line)) == LINEBUF_OK) {
        if (line.n && !relay_take(&relay, w, line))
            router_worker_line(w, line);
    }
    relay_flush(&relay, w);
    linebuf_trim(&w->out);
    return r != LINEBUF_TOO_LONG;
}

static void on_output(struct ev_loop *loop, ev_io *watch, int revents)
{
    struct worker *w = container_of(watch, struct worker, out_watch);
    if (cannot_watch(w, revents))
        return;
    int r = linebuf_read(&w->out, w->stdout_fd);
    if (r == LINEBUF_AGAIN)
        return;
    if (r == -ENOMEM) {
        worker_fail(w, "out of memory for its output");
        ev_io_stop(loop, watch);
        return;
    }
    if (r != LINEBUF_OK) {
        /* Its exit is what tells its end, and is about to be known. */
        ev_io_stop(loop, watch);
        w->output_closed = true;
        worker_set_state(w, w->state);
        return;
    }
    w->last_heard = now_ms();
    if (!take_lines(w)) {
        worker_fail(w, "wrote a line longer than maxMessageBytes");
        ev_io_stop(loop, watch);
    }
}

static void keep_stderr_line(struct worker *w, struct slice line)
{
    char *copy = slice_dup(line);
    if (!copy)
        return;
    json_clean_text(copy);
    /* Once clients are served it may quote what nobody else is to read. */
    log_event(&w->server->log, w->state == WORKER_STARTING ? LOG_DEBUG : LOG_TRACE,
              &(struct log_fields){.worker = w->id}, "worker %u stderr: %.200s", w->id, copy);
    free(w->stderr_tail[w->stderr_next]);
    w->stderr_tail[w->stderr_next] = copy;
    w->stderr_next = (w->stderr_next + 1) % STDERR_LINES;
}

static void take_stderr(struct worker *w)
{
    struct slice line;
    int r;
    while ((r = linebuf_next(&w->err, &line)) == LINEBUF_OK)
        if (line.n)
            keep_stderr_line(w, line);
    if (r == LINEBUF_TOO_LONG) {
        struct slice rest = linebuf_rest(&w->err);
        keep_stderr_line(w, (struct slice){rest.p, STDERR_LINE_MAX});
        linebuf_deinit(&w->err);
        linebuf_init(&w->err, STDERR_LINE_MAX);
    }
}

static void on_stderr(struct ev_loop *loop, ev_io *watch, int revents)
{
    struct worker *w = container_of(watch, struct worker, err_watch);
    char lost[4096];
    if (cannot_watch(w, revents))
        return;
    int r = linebuf_read(&w->err, w->stderr_fd);
    if (r == LINEBUF_OK)
        take_stderr(w);
    else if (r == -ENOMEM)
        (void)!read(w->stderr_fd, lost, sizeof(lost));
    else if (r != LINEBUF_AGAIN)
        ev_io_stop(loop, watch);
}

static void read_exec_error(struct worker *w)
{
    int error;
    if (w->exec_fd >= 0 && read(w->exec_fd, &error, sizeof(error)) == sizeof(error)) {
        w->exec_failed = true;
        w->exec_errno = error;
    }
}

static void on_exec(struct ev_loop *loop, ev_io *watch, int revents)
{
    struct worker *w = container_of(watch, struct worker, exec_watch);
    ev_io_stop(loop, watch);
    if (cannot_watch(w, revents))
        return;
    read_exec_error(w);
    w->exec_fd = cp_close(w->exec_fd);
}

static size_t in_pipe(int fd)
{
    int n = 0;
    return ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

/* Counts down what was in the pipe at the exit: a process that the worker has left behind may go on
 * to write for ever. */
static bool read_some(struct linebuf *lb, int fd, size_t *left)
{
    size_t before = linebuf_pending(lb);
    if (linebuf_read(lb, fd) != LINEBUF_OK)
        return false;
    size_t got = linebuf_pending(lb) - before;
    *left -= got < *left ? got : *left;
    return true;
}

void worker_io_drain(struct worker *w)
{
    if (w->stdout_fd < 0)
        return;
    read_exec_error(w);
    for (size_t left = in_pipe(w->stderr_fd); left && read_some(&w->err, w->stderr_fd, &left);)
        take_stderr(w);
    struct slice rest = linebuf_rest(&w->err);
    if (rest.n)
        keep_stderr_line(w, rest);
    for (size_t left = in_pipe(w->stdout_fd); left && read_some(&w->out, w->stdout_fd, &left);)
        if (!take_lines(w))
            break;
}

void worker_update_reading(struct worker *w)
{
    struct client *holder = w->lease.holder;
    bool hold = holder && client_backlogged(holder) && !holder->doomed;
    if (w->stdout_fd < 0 || hold == w->out_held)
        return;
    w->out_held = hold;
    if (hold)
        ev_io_stop(w->server->loop, &w->out_watch);
    else if (!w->exited)
        ev_io_start(w->server->loop, &w->out_watch);
}

static void mark_dirty(struct worker *w)
{
    if (list_empty(&w->in_dirty))
        list_append(&w->server->dirty_workers, &w->in_dirty);
}

int worker_send_spliced(struct worker *w, const struct client *from, const struct splice *s)
{
    if (w->stdin_fd < 0)
        return 0;
    int r = outbuf_splice(&w->in, SLICE_NULL, s, SLICE("\n"));
    if (r < 0)
        return r;
    trace_message(w->server, TRACE_TO_WORKER, from, w, s->line, s->at, s->instead);
    mark_dirty(w);
    return 0;
}

int worker_send_line(struct worker *w, struct slice line)
{
    return worker_send_spliced(w, NULL, &(struct splice){.line = line});
}

static unsigned free_slot(const struct worker *w)
{
    unsigned i = 0;
    while (i < WORKER_SLOTS && w->slots[i])
        i++;
    return i;
}

/* The daemon's own requests end things: they go first and have some room of theirs. */
static bool is_own(const struct request *r)
{
    return r->done || !r->client;
}

/* Whether one more may be unanswered. */
static bool window_open(const struct worker *w, const struct request *r)
{
    return w->in_flight < (is_own(r) ? WORKER_SLOTS : WORKER_WINDOW);
}

/* Whether those that wait to be sent are before it. */
static bool has_to_line_up(struct worker *w, const struct request *r)
{
    const struct request *first = backlog_first(&w->unsent);
    return first && (!is_own(r) || is_own(first));
}

static void stop_reading_sender(struct worker *w, struct client *c)
{
    if (!c || outbuf_len(&w->in) < INPUT_HIGH || !list_empty(&c->in_stuck))
        return;
    list_append(&w->stuck, &c->in_stuck);
    client_pause(c, CLIENT_PAUSE_WORKER);
}

static void send_now(struct worker *w, struct request *r)
{
    char id[DECIMAL_MAX];
    r->worker = w;
    r->slot = free_slot(w);
    assert(r->slot < WORKER_SLOTS);
    r->state = REQUEST_SENT;
    w->slots[r->slot] = r;
    w->in_flight++;
    r->worker_id = ++w->sends << SLOT_BITS | r->slot;
    struct slice instead = {id, decimal_write(r->worker_id, id)};
    struct splice s = {r->line, r->id_at, r->id_len, instead, request_block(r)};
    if (worker_send_spliced(w, r->client, &s) < 0) {
        worker_forget(w, r);
        r->worker = w;
        request_fail(r, RPC_INTERNAL, "Out of memory for a request of %zu bytes.", r->line.n);
        return;
    }
    stop_reading_sender(w, r->client);
    if (r->method->flags & METHOD_LOCKS)
        request_unhold(r);
    else
        request_drop_line(r);
}

static void line_up(struct worker *w, struct request *r)
{
    struct list *line = backlog_line(&w->unsent, r->client);
    r->worker = w;
    if (!line)
        request_fail(r, RPC_INTERNAL, "Out of memory for a request of %zu bytes.", r->line.n);
    else
        (void)request_park(r, REQUEST_UNSENT, line);
}

void worker_send(struct worker *w, struct request *r)
{
    if (w->stdin_fd < 0) {
        r->worker = w;
        request_fail(r, RPC_WORKER_LOST, "Worker exited (%s)",
                     w->stop_reason ? w->stop_reason : "it is being stopped");
        return;
    }
    if (!has_to_line_up(w, r) && window_open(w, r))
        send_now(w, r);
    else
        line_up(w, r);
}

/* A slot has become free. */
static void send_more(struct worker *w)
{
    struct request *r;
    while ((r = backlog_first(&w->unsent)) && window_open(w, r)) {
        backlog_rotate(&w->unsent);
        request_unpark(r);
        send_now(w, r);
    }
}

/* line: taken over; NULL when out of memory. */
static void ask(struct worker *w, const char *method, char *line,
                void (*done)(struct worker *, const struct envelope *, void *), void *arg)
{
    struct request *r = line ? request_new_internal(w->server, line, method, done, arg) : NULL;
    if (r)
        worker_send(w, r);
    else if (done)
        done(w, NULL, arg);
}

void worker_ask(struct worker *w, const char *method, cJSON *params,
                void (*done)(struct worker *, const struct envelope *, void *), void *arg)
{
    ask(w, method, rpc_request(SLICE("0"), method, params), done, arg);
}

void worker_ask_thread(struct worker *w, const char *method, const char *thread_id,
                       const char *more,
                       void (*done)(struct worker *, const struct envelope *, void *), void *arg)
{
    char *line = rpc_request_format(SLICE("0"), method, "{\"threadId\":\"%s\"%s}", thread_id, more);
    ask(w, method, line, done, arg);
}

void worker_forget(struct worker *w, struct request *r)
{
    assert(w->slots[r->slot] == r);
    w->slots[r->slot] = NULL;
    w->in_flight--;
    r->worker = NULL;
    r->state = REQUEST_NEW;
}

struct request *worker_find_answered(const struct worker *w, struct slice id)
{
    int64_t value;
    if (!decimal_read(id, &value))
        return NULL;
    struct request *r = w->slots[(uint64_t)value % WORKER_SLOTS];
    return r && r->worker_id == (uint64_t)value ? r : NULL;
}

struct request *worker_take_answered(struct worker *w, struct slice id)
{
    struct request *r = worker_find_answered(w, id);
    if (!r)
        return NULL;
    worker_forget(w, r);
    send_more(w);
    return r;
}

void worker_flush(struct worker *w)
{
    list_remove(&w->in_dirty);
    if (w->stdin_fd < 0)
        return;
    int r = outbuf_flush(&w->in, w->stdin_fd);
    if (r == OUTBUF_LEFT) {
        ev_io_start(w->server->loop, &w->in_watch);
    } else {
        ev_io_stop(w->server->loop, &w->in_watch);
        /* A closed pipe is an exit on its way; the rest is lost with it. */
        if (r < 0)
            outbuf_deinit(&w->in);
    }
    if (outbuf_len(&w->in) < INPUT_HIGH / 2)
        resume_stuck(w);
}

static void on_input(struct ev_loop *loop, ev_io *watch, int revents)
{
    struct worker *w = container_of(watch, struct worker, in_watch);
    (void)loop;
    if (!cannot_watch(w, revents))
        worker_flush(w);
}
