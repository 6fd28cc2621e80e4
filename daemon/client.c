#include "daemon/client.h"

#include "daemon/abort.h"
#include "daemon/asks.h"
#include "daemon/http.h"
#include "daemon/park.h"
#include "daemon/request.h"
#include "daemon/router.h"
#include "daemon/trace.h"
#include "daemon/websocket.h"
#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

/* Above HIGH bytes of output that a client has not taken, nobody produces more for it. */
#define OUTPUT_HIGH ((size_t)64 * 1024)
#define OUTPUT_LOW ((size_t)16 * 1024)
/* The same for its requests that wait until a worker has answered others. */
#define UNSENT_HIGH ((size_t)8 * 1024 * 1024)
#define UNSENT_LOW ((size_t)4 * 1024 * 1024)
/* A copy of less costs less than a write of its own. */
#define WRITE_WORTH ((size_t)16 * 1024)

/* What one client has sent is attended to for so long, then what the others have. */
#define TURN_US 1000

/* How long one that was told to go may take to close its end. */
#define LINGER_S 2.

static void on_ready(struct ev_loop *loop, ev_io *w, int revents);
static void on_stall(struct ev_loop *loop, ev_timer *timer, int revents);

const char *client_transport_name(enum client_transport transport)
{
    static const char *const names[] = {
        [CLIENT_SILENT] = "silent",
        [CLIENT_LINES] = "lines",
        [CLIENT_WEBSOCKET] = "websocket",
        [CLIENT_HTTP] = "http",
    };
    return names[transport];
}

static void init_lists(struct client *c)
{
    list_init(&c->in_clients);
    list_init(&c->in_dirty);
    list_init(&c->in_doomed);
    list_init(&c->in_resumed);
    list_init(&c->in_stuck);
    list_init(&c->requests);
    list_init(&c->leases);
    list_init(&c->threads);
    list_init(&c->asks);
}

struct client *client_new_bare(struct server *s, uid_t uid, gid_t gid, pid_t pid)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct client){.server = s,
                         .id = ++s->last_client_id,
                         .fd = -1,
                         .uid = uid,
                         .gid = gid,
                         .pid = pid,
                         .connected_at = now_ms(),
                         .admin = config_has_id(s->config->admin_uids, (int64_t)uid)};
    init_lists(c);
    linebuf_init(&c->in, (size_t)s->config->max_message_bytes);
    outbuf_init(&c->out);
    ev_init(&c->ready, on_ready);
    ev_set_priority(&c->ready, PRIORITY_HAPPENED);
    ev_timer_init(&c->stall, on_stall, 0., (double)s->config->client_stall_timeout_ms / 1e3);
    list_append(&s->clients, &c->in_clients);
    s->n_clients++;
    return c;
}

static void connect_to(struct client *c, int fd)
{
    c->fd = fd;
    ev_io_set(&c->ready, fd, 0);
}

/* Is told that it can be read from or written to, or no longer. */
static void watch(struct client *c, int begin, int end)
{
    int before = c->ready.events & (EV_READ | EV_WRITE), events = (before | begin) & ~end;
    if (events == before)
        return;
    ev_io_stop(c->server->loop, &c->ready);
    ev_io_modify(&c->ready, events);
    if (events)
        ev_io_start(c->server->loop, &c->ready);
}

struct client *client_new(struct server *s, int fd, uid_t uid, gid_t gid, pid_t pid)
{
    struct client *c = client_new_bare(s, uid, gid, pid);
    if (!c) {
        (void)cp_close(fd);
        return NULL;
    }
    connect_to(c, fd);
    watch(c, EV_READ, 0);
    s->counters.clients++;
    log_client(c, LOG_DEBUG, "connected, uid %u pid %d", (unsigned)uid, (int)pid);
    return c;
}

static void stop_watching(struct client *c)
{
    struct server *s = c->server;
    watch(c, 0, EV_READ | EV_WRITE);
    ev_timer_stop(s->loop, &c->stall);
    if (c->fd >= 0)
        hangup_unwatch(&s->hangup, c->fd);
}

void client_free(struct client *c)
{
    struct server *s = c->server;
    trace_end(c);
    park_end(c);
    assert(list_empty(&c->requests) && list_empty(&c->leases) && list_empty(&c->threads) &&
           list_empty(&c->asks));
    stop_watching(c);
    list_remove(&c->in_clients);
    list_remove(&c->in_dirty);
    list_remove(&c->in_doomed);
    list_remove(&c->in_resumed);
    list_remove(&c->in_stuck);
    s->n_clients--;
    c->fd = cp_close(c->fd);
    http_free(c->http);
    websocket_free(c->ws);
    linebuf_deinit(&c->in);
    outbuf_deinit(&c->out);
    strings_free(c->opted_out);
    free(c->name);
    free(c);
}

bool client_backlogged(const struct client *c)
{
    return c->paused & CLIENT_PAUSE_OUTPUT;
}

static void update_workers(struct client *c)
{
    list_for_each (it, &c->leases)
        worker_update_reading(list_entry(it, struct worker, lease.in_client));
}

static void check_output(struct client *c)
{
    size_t n = outbuf_len(&c->out);
    if (c->park) {
        park_check_output(c);
        return;
    }
    if (c->traced_bytes > n)
        c->traced_bytes = n;
    n -= c->traced_bytes; /* nobody is to produce less because of a trace */
    if (n >= OUTPUT_HIGH && !client_backlogged(c)) {
        client_pause(c, CLIENT_PAUSE_OUTPUT);
        update_workers(c);
    } else if (n < OUTPUT_LOW && client_backlogged(c)) {
        client_resume(c, CLIENT_PAUSE_OUTPUT);
        update_workers(c);
    }
}

static const char out_of_memory[] = "out of memory for its output";

static bool reserve_output(struct client *c, size_t n)
{
    if (outbuf_reserve(&c->out, n) == 0)
        return true;
    client_doom(c, out_of_memory);
    return false;
}

static void write_soon(struct client *c)
{
    if (list_empty(&c->in_dirty) && !c->park)
        list_append(&c->server->dirty_clients, &c->in_dirty);
}

void client_put(struct client *c, struct slice head, struct slice body)
{
    if (c->doomed || !reserve_output(c, head.n + body.n))
        return;
    outbuf_put(&c->out, head);
    outbuf_put(&c->out, body);
    write_soon(c);
    check_output(c);
}

void client_send_spliced(struct client *c, const struct splice *s)
{
    char room[WEBSOCKET_HEAD_MAX];
    struct slice head = c->ws ? websocket_head(room, WEBSOCKET_TEXT, splice_len(s)) : SLICE_NULL;
    struct splice copied = *s;
    /* A WebSocket that is being closed has had its last frame. */
    if (c->doomed || c->http || (c->ws && websocket_is_closed(c->ws)))
        return;
    /* First, since this client may be one that is told. */
    trace_message(c->server, TRACE_TO_CLIENT, c, NULL, s->line, s->at, s->instead);
    /* Whoever comes back reads what it has missed out of one piece. */
    if (c->park)
        copied.block = NULL;
    if (outbuf_splice(&c->out, head, &copied, c->ws ? SLICE_NULL : SLICE("\n")) < 0) {
        client_doom(c, out_of_memory);
        return;
    }
    write_soon(c);
    check_output(c);
}

void client_send(struct client *c, struct slice line)
{
    client_send_spliced(c, &(struct splice){.line = line});
}

void client_send_lines(struct client *c, struct slice lines, bool more)
{
    if (c->doomed)
        return;
    bool worth_it = !more || lines.n >= WRITE_WORTH;
    if (worth_it && !outbuf_len(&c->out)) {
        size_t n = outbuf_write_through(c->fd, lines);
        lines = (struct slice){lines.p + n, lines.n - n};
    }
    if (!lines.n || !reserve_output(c, lines.n))
        return;
    outbuf_put(&c->out, lines);
    write_soon(c);
    check_output(c);
}

void client_send_take(struct client *c, char *line)
{
    if (line)
        client_send(c, slice_str(line));
    else
        client_doom(c, out_of_memory);
    free(line);
}

bool client_opted_out(const struct client *c, struct slice method)
{
    for (size_t i = 0; c->opted_out && c->opted_out[i]; i++)
        if (slice_is(method, c->opted_out[i]))
            return true;
    return false;
}

void client_pause(struct client *c, unsigned why)
{
    if (!c->paused && !c->doomed && c->fd >= 0) {
        watch(c, 0, EV_READ);
        if (hangup_watch(&c->server->hangup, c->fd, c) < 0)
            log_client(c, LOG_WARN, "its disconnect will be noticed late");
    }
    c->paused |= why;
}

static void take_rest_later(struct client *c)
{
    if (list_empty(&c->in_resumed))
        list_append(&c->server->resumed, &c->in_resumed);
}

void client_resume(struct client *c, unsigned why)
{
    unsigned before = c->paused;
    c->paused &= ~why;
    if (before && !c->paused && !c->doomed && c->fd >= 0) {
        hangup_unwatch(&c->server->hangup, c->fd);
        watch(c, EV_READ, 0);
        /* Whole lines may have been left in the buffer. */
        take_rest_later(c);
    }
}

/* Nobody reads from it or writes to it. */
static void disconnect(struct client *c)
{
    stop_watching(c);
    list_remove(&c->in_dirty);
    list_remove(&c->in_resumed);
    linebuf_init(&c->in, (size_t)c->server->config->max_message_bytes);
    outbuf_init(&c->out);
    c->fd = -1;
    c->ws = NULL;
    c->traced_bytes = 0;
    if (client_backlogged(c)) {
        client_resume(c, CLIENT_PAUSE_OUTPUT);
        update_workers(c);
    }
}

void client_hand_over(struct client *from, struct client *to)
{
    assert(to->fd < 0 && !outbuf_len(&to->out) && !from->http);
    outbuf_deinit(&to->out);
    linebuf_deinit(&to->in);
    to->in = from->in;
    to->out = from->out;
    to->ws = from->ws;
    to->transport = from->transport;
    to->traced_bytes = from->traced_bytes;
    to->gid = from->gid;
    to->pid = from->pid;
    to->admin = from->admin;
    connect_to(to, from->fd);
    disconnect(from);
    if (to->ws)
        websocket_set_client(to->ws, to);
    if (!to->paused)
        watch(to, EV_READ, 0);
    else if (hangup_watch(&to->server->hangup, to->fd, to) < 0)
        log_client(to, LOG_WARN, "its disconnect will be noticed late");
    take_rest_later(to);
    write_soon(to);
    check_output(to);
}

bool client_hold(struct client *c, size_t bytes)
{
    if (c->held_bytes >= (size_t)c->server->config->max_message_bytes &&
        c->held_bytes >= UNSENT_HIGH)
        return false;
    c->held_bytes += bytes;
    return true;
}

void client_unhold(struct client *c, size_t bytes)
{
    c->held_bytes -= bytes;
}

void client_add_unsent(struct client *c, size_t bytes)
{
    c->unsent_bytes += bytes;
    if (c->unsent_bytes >= UNSENT_HIGH)
        client_pause(c, CLIENT_PAUSE_UNSENT);
}

void client_drop_unsent(struct client *c, size_t bytes)
{
    c->unsent_bytes -= bytes;
    if (c->unsent_bytes < UNSENT_LOW)
        client_resume(c, CLIENT_PAUSE_UNSENT);
}

void client_doom(struct client *c, const char *why)
{
    if (c->doomed)
        return;
    log_client(c, LOG_DEBUG, "gone: %s", why);
    c->doomed = true;
    stop_watching(c);
    list_remove(&c->in_dirty);
    list_append(&c->server->doomed, &c->in_doomed);
    update_workers(c);
}

void client_close_after_output(struct client *c)
{
    client_say_goodbye(c);
    c->closing = true;
    client_pause(c, CLIENT_PAUSE_CLOSING);
    write_soon(c);
}

void client_say_goodbye(struct client *c)
{
    if (c->ws)
        websocket_close(c->ws, WEBSOCKET_GOING_AWAY);
}

void client_hung_up(struct client *c)
{
    /* One that asks by HTTP may have asked all, and wait for the answers. */
    if (c->transport != CLIENT_HTTP)
        client_doom(c, "disconnected");
}

/* Hands on every whole line, unless something on the way says to stop. */
static void take_lines(struct client *c)
{
    struct slice line;
    int r = LINEBUF_NONE;
    uint64_t until = now_us() + TURN_US;
    while (!c->paused && !c->doomed && (r = linebuf_next(&c->in, &line)) == LINEBUF_OK) {
        if (line.n)
            router_client_line(c, line);
        if (now_us() >= until) {
            take_rest_later(c);
            return;
        }
    }
    linebuf_trim(&c->in);
    if (r != LINEBUF_TOO_LONG || c->paused || c->doomed)
        return;
    client_send_take(c, rpc_error(SLICE_NULL, RPC_MESSAGE_TOO_LARGE,
                                  "Message is longer than maxMessageBytes.", NULL));
    client_close_after_output(c);
}

/* Its first byte is there. */
static void choose_transport(struct client *c)
{
    struct slice rest = linebuf_rest(&c->in);
    if (!rest.n || c->doomed)
        return;
    c->transport = CLIENT_LINES;
    if (rest.p[0] < 'A' || rest.p[0] > 'Z')
        return;
    c->transport = CLIENT_HTTP;
    c->http = http_new(c);
    if (!c->http)
        client_doom(c, "out of memory for its requests");
    else
        ev_timer_again(c->server->loop, &c->stall);
}

static void take_requests(struct client *c)
{
    uint64_t until = now_us() + TURN_US;
    while (!c->paused && !c->doomed && http_take(c->http)) {
        if (now_us() >= until) {
            take_rest_later(c);
            return;
        }
    }
    linebuf_trim(&c->in);
}

static void take_input(struct client *c);

/* What has been read, or why not. */
static void take_read(struct client *c, int r)
{
    if (r == LINEBUF_EOF && c->transport == CLIENT_HTTP && !c->doomed)
        client_close_after_output(c);
    else if (r == LINEBUF_EOF)
        client_doom(c, "disconnected");
    else if (r < 0)
        client_doom(c, strerror(-r));
    take_input(c);
}

static void take_input(struct client *c)
{
    if (c->transport == CLIENT_SILENT)
        choose_transport(c);
    if (c->transport != CLIENT_HTTP) {
        take_lines(c);
        return;
    }
    if (c->doomed)
        return;
    take_requests(c);
    if (c->doomed || !http_is_upgraded(c->http))
        return;
    c->http = http_free(c->http);
    c->transport = CLIENT_WEBSOCKET;
    /* It may have said more with its request. */
    take_read(c, websocket_read(c->ws));
}

/* All is said. Closing while it still writes would reset the connection, and it might never read
 * why; so its input is thrown away until it closes, or for a while. */
static void linger(struct client *c)
{
    (void)shutdown(c->fd, SHUT_WR);
    linebuf_deinit(&c->in);
    watch(c, EV_READ, 0);
    c->stall.repeat = LINGER_S;
    ev_timer_again(c->server->loop, &c->stall);
}

static void discard_input(struct client *c)
{
    char bytes[16384];
    ssize_t n = read(c->fd, bytes, sizeof(bytes));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        client_doom(c, "closed by the daemon");
}

/* The kernel has no room for one more watched descriptor, so libev has let go of it. */
static bool cannot_watch(struct client *c, int revents)
{
    if (revents & EV_ERROR)
        client_doom(c, "its connection cannot be watched");
    return revents & EV_ERROR;
}

static void on_readable(struct client *c)
{
    if (c->closing) {
        discard_input(c);
        return;
    }
    if (!list_empty(&c->in_resumed))
        return; /* what it has sent before comes first */
    take_read(c, c->ws ? websocket_read(c->ws) : linebuf_read(&c->in, c->fd));
    /* Answers to many that speak at once would lie between what stays of their requests, and leave
     * as many holes there. */
    if (!list_empty(&c->in_dirty))
        client_flush(c);
}

void client_take_rest(struct client *c)
{
    list_remove(&c->in_resumed);
    take_input(c);
}

void client_flush(struct client *c)
{
    struct ev_loop *loop = c->server->loop;
    list_remove(&c->in_dirty);
    if (c->doomed || c->park)
        return;
    size_t before = outbuf_len(&c->out);
    int r = outbuf_flush(&c->out, c->fd);
    if (r < 0) {
        client_doom(c, strerror(-r));
        return;
    }
    if (r == OUTBUF_EMPTY) {
        watch(c, 0, EV_WRITE);
        ev_timer_stop(loop, &c->stall);
        c->last_call = false;
        if (c->closing)
            linger(c);
        else if (c->http)
            ev_timer_again(loop, &c->stall);
    } else {
        watch(c, EV_WRITE, 0);
        if (!ev_is_active(&c->stall) || outbuf_len(&c->out) < before) {
            c->last_call = false;
            ev_timer_again(loop, &c->stall);
        }
    }
    check_output(c);
}

static void on_ready(struct ev_loop *loop, ev_io *w, int revents)
{
    struct client *c = container_of(w, struct client, ready);
    (void)loop;
    if (cannot_watch(c, revents))
        return;
    if (revents & EV_READ)
        on_readable(c);
    if (revents & EV_WRITE)
        client_flush(c);
}

static void on_stall(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct client *c = container_of(timer, struct client, stall);
    (void)revents;
    if (!time_is_over(loop, timer, &c->last_call))
        return;
    if (c->closing && !outbuf_len(&c->out)) {
        client_doom(c, "closed by the daemon");
        return;
    }
    if (c->http && !outbuf_len(&c->out)) {
        http_timeout(c->http);
        return;
    }
    log_client(c, LOG_WARN, "dropped: read nothing for %lld ms",
               (long long)c->server->config->client_stall_timeout_ms);
    client_doom(c, "stalled");
}
