/* A whole session: the daemon's own server, router and pool between clients and workers that are
 * only ends of sockets and pipes, and a clock that goes when it is told to.
 *
 * The first line is the configuration, or none. Every other line is an action: a letter, a digit
 * for whose it is, and a payload (payload.h):
 *
 *   c0 LINE   client 0 writes a line; it connects and initializes first where it is not there
 *   C0 BYTES  the same without the newline, and nothing is moved yet
 *   n0 x0 y0  it connects; leaves; ends its output only        d0  it stops or goes on reading
 *   w0 LINE   the worker in place 0 writes a line               W0 BYTES  (as C0)
 *   r0 VALUE  it answers its oldest request with this result (empty: as Codex would); R0 the newest
 *   f0 VALUE  it answers the oldest with this error
 *   e0 LINE   it writes to stderr       z0  it stops or goes on reading     K0  it closes its
 * stdout k0 N      it exits with status N    a0  it answers everything as Codex would, or stops to
 *   t MS      time passes               .   the loop turns once             * N  the last action
 * again m o       workers answer initialize by themselves or not; end when they are told to or not
 *   p0 p1 p2  the next start works; cannot fork; cannot exec
 *   h JSON    the configuration is read again (SIGHUP)          s   the daemon is told to stop
 *
 * What must hold then is in promises.h, invariants.h and peer_worker.c; and nothing may be left at
 * the end. */
#include "daemon/crew.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/invariants.h"
#include "tests/fuzz/peers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>

#define ACTIONS_MAX 1000
#define ROUNDS_MAX 64
/* Enough for every high-water mark below a megabyte; bytes are dear here. */
#define FILLER_MAX ((size_t)1280 * 1024)
#define POOL_MAX 3

static const struct config_flags flags = {.socket = "/x", .log_level = -1, .log_format = -1};
static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE};

struct session {
    struct stage stage;
    struct sigaction before[ARRAY_LEN(signals)];
    int config_fd, null_fd;
    char config_path[32];
    size_t actions;
};

/* One that the stage is large enough for, or NULL. */
static struct config *read_config(struct slice text)
{
    _cleanup_free_ char *copy = slice_dup(text);
    _cleanup_free_ char *error = NULL;
    struct config *c = config_parse(copy, "script", &flags, &error);
    if (c && c->pool_size + c->max_parked <= POOL_MAX)
        return c;
    config_free(c);
    return NULL;
}

/* The fuzzer's own handlers are put back afterwards. */
static void take_signals(struct session *x)
{
    struct server *s = &x->stage.server;
    ev_signal *watchers[] = {&s->on_term, &s->on_int, &s->on_hup, &s->on_child};
    for (size_t i = 0; i < ARRAY_LEN(watchers); i++)
        ev_signal_stop(s->loop, watchers[i]);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (signals[i] != SIGPIPE)
            (void)sigaction(signals[i], &x->before[i], NULL);
}

static void begin(struct session *x, struct slice config_text)
{
    struct config *config = read_config(config_text);
    struct server *s = &x->stage.server;
    outside_reset();
    x->stage.budget = FILLER_MAX;
    for (size_t i = 0; i < CLIENTS; i++)
        x->stage.clients[i].fd = -1;
    x->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    x->config_fd = memfd_create("config", MFD_CLOEXEC);
    MUST(x->null_fd >= 0 && x->config_fd >= 0, "no descriptors");
    (void)snprintf(x->config_path, sizeof(x->config_path), "/proc/self/fd/%d", x->config_fd);
    struct config_flags file_flags = flags;
    file_flags.file = x->config_path;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        (void)sigaction(signals[i], NULL, &x->before[i]);
    if (!config)
        config = read_config(SLICE("{}"));
    MUST(config && server_init(s, config, &file_flags) == EX_OK, "cannot begin");
    take_signals(x);
    if (!getenv("FUZZ_TRACE"))
        s->log.fd = x->null_fd;
    if (config->prewarm)
        crew_prewarm(s);
}

static void turn(struct session *x)
{
    struct stage *st = &x->stage;
    (void)ev_run(st->server.loop, EVRUN_NOWAIT);
    for (size_t i = 0; i < CLIENTS; i++)
        client_pump(st, &st->clients[i]);
    for (size_t i = 0; i < PROCESSES; i++)
        worker_pump(st, &st->workers[i]);
}

/* Until nothing moves: what the loop has read it writes in its next turn. */
static void settle(struct session *x)
{
    unsigned still = 0;
    for (unsigned i = 0; i < ROUNDS_MAX && still < 3; i++) {
        size_t before = x->stage.moved;
        turn(x);
        still = x->stage.moved == before ? still + 1 : 0;
    }
    if (still)
        invariants_check(&x->stage.server);
}

static void pass_time(struct slice ms)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ms.n && ms.p[i] >= '0' && ms.p[i] <= '9' && n < 1000000; i++)
        n = n * 10 + (uint64_t)(ms.p[i] - '0');
    outside()->now_ns += n * 1000000;
}

static void reload(struct session *x, struct slice text)
{
    struct config *c = read_config(text);
    bool fits = c != NULL;
    config_free(c);
    if (!fits || x->stage.server.phase != SERVER_RUNNING)
        return;
    MUST(ftruncate(x->config_fd, 0) == 0 &&
             pwrite(x->config_fd, text.p, text.n, 0) == (ssize_t)text.n,
         "cannot write the configuration");
    ev_feed_event(x->stage.server.loop, &x->stage.server.on_hup, EV_SIGNAL);
}

static void client_action(struct session *x, char what, size_t i, struct slice payload)
{
    struct stage *st = &x->stage;
    struct peer_client *c = &st->clients[i % CLIENTS];
    bool is_new = c->fd < 0;
    if (what == 'x') {
        client_leave(c);
    } else if (what == 'y' && !is_new) {
        (void)shutdown(c->fd, SHUT_WR);
    } else if (what == 'd') {
        c->deaf = !c->deaf;
    } else if (what != 'y') {
        client_connect(st, c, i % CLIENTS);
        if (is_new && what == 'c')
            client_write(st, c,
                         SLICE("{\"id\":\"i\",\"method\":\"initialize\",\"params\":{\"clientInfo\":"
                               "{\"name\":\"f\",\"version\":\"1\"}}}"),
                         true);
        if (what != 'n')
            client_write(st, c, payload, what == 'c');
    }
}

static void exit_worker(struct session *x, struct peer_worker *w, struct slice status)
{
    int code = status.n ? status.p[0] - '0' : 0;
    worker_exit(&x->stage, w, (code & 0x7f) << 8);
}

static void say_on_stderr(const struct process *p, struct slice payload)
{
    _cleanup_free_ char *line = NULL;
    int n = asprintf(&line, "%.*s\n", (int)payload.n, payload.p);
    if (n > 0)
        (void)!write(p->stderr_fd, line, (size_t)n);
}

static void worker_action(struct session *x, char what, size_t i, struct slice payload)
{
    struct stage *st = &x->stage;
    struct peer_worker *w = worker_at(st, i);
    struct process *p = w ? &outside()->processes[w - st->workers] : NULL;
    if (!w)
        return;
    if (what == 'w' || what == 'W')
        worker_write(st, w, NULL, payload, what == 'w');
    else if (what == 'r' || what == 'f')
        worker_answer(st, w, 0, what == 'r' ? "result" : "error", payload);
    else if (what == 'R' && w->n_asked)
        worker_answer(st, w, w->n_asked - 1, "result", payload);
    else if (what == 'e')
        say_on_stderr(p, payload);
    else if (what == 'z')
        w->deaf = !w->deaf;
    else if (what == 'a')
        w->honest = !w->honest;
    else if (what == 'K')
        p->stdout_fd = cp_close(p->stdout_fd);
    else if (what == 'k')
        exit_worker(x, w, payload);
}

static void other_action(struct session *x, char what, size_t i, struct slice payload)
{
    struct server *s = &x->stage.server;
    if (what == 't')
        pass_time(payload);
    else if (what == 'm')
        x->stage.manual = !x->stage.manual;
    else if (what == 'o')
        x->stage.stubborn = !x->stage.stubborn;
    else if (what == 'p')
        outside()->next = (enum spawning)(i % (EXEC_FAILS + 1));
    else if (what == 'h')
        reload(x, payload);
    else if (what == 's')
        ev_feed_event(s->loop, &s->on_term, EV_SIGNAL);
    else if (what == '.')
        turn(x);
}

static void act(struct session *x, struct slice line)
{
    size_t i = line.n > 1 && line.p[1] >= '0' && line.p[1] <= '9' ? (size_t)(line.p[1] - '0') : 0;
    struct slice payload = line;
    if (!line.n || !*line.p || ++x->actions > ACTIONS_MAX)
        return;
    char what = line.p[0];
    TRACE("--- %.*s\n", (int)line.n, line.p);
    (void)fuzz_cut(&payload, ' ');
    if (strchr("cCnxyd", what))
        client_action(x, what, i, payload);
    else if (strchr("wWrRfezKka", what))
        worker_action(x, what, i, payload);
    else
        other_action(x, what, i, payload);
    if (!strchr("CW.", what))
        settle(x);
}

static void play(struct session *x, struct slice script)
{
    struct slice last = SLICE_NULL;
    while (script.n) {
        struct slice line = fuzz_cut(&script, '\n');
        if (!line.n || line.p[0] != '*') {
            last = line;
            act(x, line);
            continue;
        }
        for (size_t n = line.n > 2 ? (size_t)(line.p[2] - '0') % 10 * 10 + 1 : 1; n; n--)
            act(x, last);
    }
}

/* Whoever listens still is answered before the daemon is gone. */
static void end(struct session *x)
{
    struct stage *st = &x->stage;
    bool listened[CLIENTS];
    outside()->next = SPAWN_WORKS;
    for (size_t i = 0; i < CLIENTS; i++)
        st->clients[i].deaf = false;
    for (size_t i = 0; i < PROCESSES; i++)
        st->workers[i].deaf = false;
    settle(x);
    server_stop(&st->server);
    settle(x);
    if (st->server.phase != SERVER_STOPPING)
        server_stop(&st->server);
    server_stop(&st->server);
    settle(x);
    for (size_t i = 0; i < CLIENTS; i++)
        listened[i] = client_listens(&st->clients[i]);
    server_deinit(&st->server);
    for (size_t i = 0; i < CLIENTS; i++) {
        client_pump(st, &st->clients[i]);
        if (listened[i])
            promises_end(&st->clients[i].promises);
        client_leave(&st->clients[i]);
    }
    (void)close(x->null_fd);
    (void)close(x->config_fd);
    (void)sigaction(SIGPIPE, &x->before[ARRAY_LEN(signals) - 1], NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice script = {(const char *)data, size};
    struct session *x = calloc(1, sizeof(*x));
    MUST(x, "out of memory");
    (void)setenv("HOME", "/nonexistent", 1);
    (void)setenv("CODEX_HOME", "/nonexistent", 1);
    begin(x, fuzz_cut(&script, '\n'));
    settle(x);
    play(x, script);
    end(x);
    free(x);
    return 0;
}
