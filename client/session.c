#include "client/session.h"

#include "client/cmd.h"
#include "client/text.h"
#include "proto/json.h"
#include "proto/rpc.h"
#include "proto/sockpath.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>

/* As much as the daemon can be told to let through. */
#define SESSION_MAX_LINE ((size_t)1024 * 1024 * 1024)
/* A daemon whose backlog is full is asked again, so often and for so long. */
#define CONNECT_RETRY_MS 50
#define CONNECT_PATIENCE_MS 30000

int64_t session_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int session_no_memory(void)
{
    fputs("codex-pool: out of memory\n", stderr);
    return CMD_FAILED;
}

int session_lost(const struct session *s)
{
    fprintf(stderr,
            "codex-pool: the daemon at %s closed the connection\n"
            "`codex-pool status` tells whether it is there; its log tells why\n",
            s->path);
    return CMD_NO_DAEMON;
}

static int no_daemon(const char *path, int error)
{
    fprintf(stderr, "codex-pool: no daemon at %s: %s\n", path, strerror(error));
    if (error == EACCES || error == EPERM)
        fputs("it runs as another user: its settings socketMode, allowUids and allowGids decide\n"
              "who may connect\n",
              stderr);
    else
        fputs("start it with `systemctl --user start codex-pool.socket`, or run `codex-poold`;\n"
              "--socket or CODEX_POOL_SOCKET name another socket\n",
              stderr);
    return CMD_NO_DAEMON;
}

static int catch_signals(struct session *s, int also)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    if (also)
        sigaddset(&set, also);
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signals < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        perror("codex-pool: cannot catch signals");
        return CMD_FAILED;
    }
    return CMD_DONE;
}

/* True if a signal came within so many milliseconds. */
static bool signal_within(struct session *s, int ms)
{
    struct pollfd p = {s->signals, POLLIN, 0};
    return poll(&p, 1, ms) > 0;
}

int session_open(struct session *s, const char *path, int also)
{
    struct sockaddr_un address;
    *s = (struct session){.fd = -1, .signals = -1, .path = path};
    linebuf_init(&s->in, SESSION_MAX_LINE);
    outbuf_init(&s->out);
    if (sockpath_address(path, &address) < 0) {
        fprintf(stderr, "codex-pool: the socket's path is longer than %zu bytes: %s\n",
                sizeof(address.sun_path) - 1, path);
        return CMD_USAGE;
    }
    int r = catch_signals(s, also);
    if (r != CMD_DONE)
        return r;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        perror("codex-pool: cannot make a socket");
        return CMD_FAILED;
    }
    int64_t deadline = session_now() + CONNECT_PATIENCE_MS;
    while (connect(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != EAGAIN || session_now() > deadline)
            return no_daemon(path, errno);
        if (signal_within(s, CONNECT_RETRY_MS))
            return CMD_INTERRUPTED;
    }
    return CMD_DONE;
}

void session_close(struct session *s)
{
    s->fd = cp_close(s->fd);
    s->signals = cp_close(s->signals);
    linebuf_deinit(&s->in);
    outbuf_deinit(&s->out);
}

/* A broken connection shows when it is read: the daemon may have said why before it closed. */
static void flush(struct session *s)
{
    if (outbuf_flush(&s->out, s->fd) < 0)
        s->out.begin = s->out.end = 0;
}

int session_send(struct session *s, char *line)
{
    _cleanup_free_ char *owned = line;
    if (!owned)
        return -ENOMEM;
    int r = outbuf_line(&s->out, slice_str(owned));
    if (r == 0)
        flush(s);
    return r;
}

int session_request(struct session *s, const char *method, cJSON *params)
{
    char id[24];
    (void)snprintf(id, sizeof(id), "%" PRId64, ++s->last_id);
    return session_send(s, rpc_request(slice_str(id), method, params));
}

static void read_more(struct session *s)
{
    int r = linebuf_read(&s->in, s->fd);
    if (r == LINEBUF_EOF || (r < 0 && r != -ENOMEM)) {
        s->ended = true;
    } else if (r == -ENOMEM) {
        (void)session_no_memory();
        s->ended = true;
    }
}

static int poll_timeout(int64_t deadline)
{
    if (!deadline)
        return -1;
    int64_t left = deadline - session_now();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

enum { AT_SIGNALS, AT_SOCKET, AT_INPUT, AT_OUT, AT_COUNT };

/* One poll; what is neither a line nor the end of something is dealt with here. -1: go on. */
static int wait_once(struct session *s, const struct session_wait *w)
{
    bool writing = w->out && outbuf_len(&w->out->pending);
    bool reading = !s->ended && !(w->out && output_full(w->out));
    struct pollfd p[AT_COUNT] = {
        [AT_SIGNALS] = {s->signals, POLLIN, 0},
        [AT_SOCKET] = {s->fd, (short)((reading ? POLLIN : 0) | (outbuf_len(&s->out) ? POLLOUT : 0)),
                       0},
        [AT_INPUT] = {w->input, POLLIN, 0},
        [AT_OUT] = {w->out ? w->out->fd : -1, writing ? POLLOUT : 0, 0},
    };
    if (!p[AT_SOCKET].events)
        p[AT_SOCKET].fd = -1; /* its hang-up would not let us sleep */
    if (poll(p, AT_COUNT, poll_timeout(w->deadline_ms)) < 0)
        return -1;
    struct signalfd_siginfo info;
    if (p[AT_SIGNALS].revents && read(s->signals, &info, sizeof(info)) > 0)
        return SESSION_SIGNAL;
    if (p[AT_OUT].revents & (POLLERR | POLLHUP | POLLNVAL))
        return SESSION_OUTPUT_GONE;
    if (writing && p[AT_OUT].revents && output_some(w->out) < 0)
        return SESSION_OUTPUT_GONE;
    if (p[AT_SOCKET].revents & POLLOUT)
        flush(s);
    if (reading && p[AT_SOCKET].revents & (POLLIN | POLLHUP | POLLERR))
        read_more(s);
    if (p[AT_INPUT].revents)
        return SESSION_INPUT;
    return w->deadline_ms && session_now() >= w->deadline_ms ? SESSION_TIMEOUT : -1;
}

enum session_event session_next(struct session *s, const struct session_wait *w, struct slice *line)
{
    for (;;) {
        if (!(w->out && output_full(w->out))) {
            int r = linebuf_next(&s->in, line);
            if (r == LINEBUF_OK)
                return SESSION_LINE;
            if (r == LINEBUF_TOO_LONG)
                fputs("codex-pool: the daemon sent a line longer than 1 GiB\n", stderr);
            if (r == LINEBUF_TOO_LONG || s->ended)
                return SESSION_CLOSED;
        }
        int event = wait_once(s, w);
        if (event >= 0)
            return (enum session_event)event;
    }
}

bool session_drain(struct session *s, struct output *out)
{
    struct session_wait w = {.input = -1, .out = out};
    s->fd = cp_close(s->fd);
    s->ended = true;
    while (outbuf_len(&out->pending)) {
        int event = wait_once(s, &w);
        if (event == SESSION_SIGNAL || event == SESSION_OUTPUT_GONE)
            return false;
    }
    return true;
}

int64_t session_id(struct slice id)
{
    char digits[24] = {0};
    if (!id.n || id.n >= sizeof(digits) || id.p[0] == '"')
        return -1;
    memcpy(digits, id.p, id.n);
    return strtoll(digits, NULL, 10);
}

/* What a person can do about an error of the daemon's; NULL where the message says it all. */
static const char *advice(struct slice reason)
{
    static const struct {
        const char *reason, *advice;
    } table[] = {
        {"queueFull", "too many wait: try again later (the daemon's setting maxQueue)"},
        {"acquireTimeout", "no worker became free in time: try again, or give the daemon a longer\n"
                           "acquireTimeoutMs or a larger poolSize"},
        {"shutdown", "the daemon is stopping: try again when it is back"},
        {"workerLost", "the request may or may not have been carried out; try again"},
        {"workerStart", "`codex-pool status` shows the workers, the daemon's log what they said"},
        {"forbidden",
         "the daemon's settings allowUids, allowGids, adminUids and denyMethods decide"},
        {"messageTooLarge", "the daemon's setting maxMessageBytes decides"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (slice_is(reason, table[i].reason))
            return table[i].advice;
    return NULL;
}

int session_error(struct slice error)
{
    struct slice code = json_get(error, "code");
    const char *what_next = advice(json_get_text(error, "data.reason"));
    fputs("codex-pool: ", stderr);
    text_show_raw(stderr, json_get_text(error, "message"), "  ");
    fprintf(stderr, " (%.*s)\n", (int)code.n, code.n ? code.p : "");
    if (what_next)
        fprintf(stderr, "%s\n", what_next);
    /* Codex itself says so without data. */
    bool overloaded = session_id(code) == RPC_QUEUE_FULL;
    return overloaded || slice_is(json_get(error, "data.retryable"), "true") ? CMD_RETRY
                                                                             : CMD_FAILED;
}

char *session_refusal(const struct envelope *request)
{
    char message[160];
    (void)snprintf(message, sizeof(message), "codex-pool does not answer %.*s",
                   (int)(request->method.n < 100 ? request->method.n : 100), request->method.p);
    return rpc_refusal(request->id, RPC_METHOD_NOT_FOUND, message);
}

/* Looks at a line that came while an answer is waited for. -1: it was another. */
static int take_answer(struct session *s, struct slice line, struct slice *result)
{
    struct envelope e;
    const char *why;
    int r = envelope_scan(line, &e, &why);
    /* An error that belongs to no request: of the connection itself. */
    if (r != ENVELOPE_OK)
        return e.error.p ? session_error(e.error) : -1;
    if (e.kind == ENVELOPE_REQUEST)
        return session_send(s, session_refusal(&e)) < 0 ? session_no_memory() : -1;
    if (e.kind == ENVELOPE_NOTIFICATION || session_id(e.id) != s->last_id)
        return -1;
    if (e.error.p)
        return session_error(e.error);
    *result = e.result;
    return CMD_DONE;
}

static int no_answer(const struct session *s)
{
    fprintf(stderr, "codex-pool: the daemon at %s does not answer; its log may tell why\n",
            s->path);
    return CMD_NO_DAEMON;
}

/* `notice` as for session_call_patiently. */
static int call(struct session *s, const char *method, struct slice params, int64_t deadline_ms,
                const char *notice, struct slice *result)
{
    struct session_wait w = {.input = -1, .deadline_ms = deadline_ms};
    _cleanup_free_ char *raw = slice_dup(params);
    cJSON *tree = raw ? cJSON_CreateRaw(raw) : NULL;
    if (!tree || session_request(s, method, tree) < 0)
        return session_no_memory();
    for (;;) {
        struct slice line;
        int code;
        switch (session_next(s, &w, &line)) {
        case SESSION_LINE:
            code = take_answer(s, line, result);
            if (code >= 0)
                return code;
            break;
        case SESSION_SIGNAL:
            return CMD_INTERRUPTED;
        case SESSION_TIMEOUT:
            if (!notice)
                return no_answer(s);
            fputs(notice, stderr);
            w.deadline_ms = 0;
            break;
        default:
            return session_lost(s);
        }
    }
}

int session_call(struct session *s, const char *method, struct slice params, int64_t deadline_ms,
                 struct slice *result)
{
    return call(s, method, params, deadline_ms, NULL, result);
}

int session_call_patiently(struct session *s, const char *method, struct slice params,
                           int64_t quiet_ms, const char *notice, struct slice *result)
{
    int64_t deadline = notice ? session_now() + quiet_ms : 0;
    return call(s, method, params, deadline, notice, result);
}

cJSON *session_initialize_params(void)
{
    cJSON *params = cJSON_CreateObject();
    cJSON *info = cJSON_AddObjectToObject(params, "clientInfo");
    cJSON *capabilities = cJSON_AddObjectToObject(params, "capabilities");
    if (cJSON_AddStringToObject(info, "name", "codex-pool") &&
        cJSON_AddStringToObject(info, "title", "codex-pool command line") &&
        cJSON_AddStringToObject(info, "version", CP_VERSION) &&
        cJSON_AddTrueToObject(capabilities, "experimentalApi"))
        return params;
    cJSON_Delete(params);
    return NULL;
}

int session_initialize(struct session *s)
{
    cJSON *params = session_initialize_params();
    _cleanup_free_ char *text = params ? cJSON_PrintUnformatted(params) : NULL;
    struct slice result;
    cJSON_Delete(params);
    return text ? session_call(s, "initialize", slice_str(text), 0, &result) : session_no_memory();
}
