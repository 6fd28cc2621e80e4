#include "client/cmd.h"
#include "client/session.h"
#include "client/text.h"
#include "proto/json.h"
#include "proto/rpc.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>

const char cmd_trace_help[] =
    "Shows the messages that go by at the daemon, live, until Ctrl-C: when (UTC), the\n"
    "client, the worker and the direction, the request's id (as the client knows it\n"
    "=as the worker does), the kind, the method (of an answer: what it answers), the\n"
    "thread, and the beginning of the parameters, result or error.\n"
    "\n"
    "  --client N     only what is about this client (see `codex-pool status`)\n"
    "  --worker N     only what is about this worker\n"
    "  --thread ID    only what names this thread, or answers what does\n"
    "  --method GLOB  only these methods and their answers: 'turn/*', '*/delta'\n"
    "  --full         whole payloads, up to 1 MiB of each\n"
    "  --json         a line of JSON for each message\n"
    "\n"
    "Only for users in the daemon's setting adminUids. The pool does not wait for a\n"
    "reader that is too slow: what it misses is counted and told.\n"
    "\n"
    "exit: 0 after Ctrl-C, 1 it is refused, 64 wrong usage, 69 no daemon there, or it\n"
    "stopped\n";

/* Beyond this number of columns nothing is cut for want of room. */
#define COLUMNS_ENDLESS SIZE_MAX
/* From so many columns on a thread's id is shown whole, else so much of its end. */
#define ROOM_FOR_THREADS ((size_t)160)
#define THREAD_END 12

struct trace_options {
    const char *client, *worker, *thread, *method;
    bool full, json;
};

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && !text[n] && n < 10 && strtoul(text, NULL, 10) > 0;
}

/* Adds a string that need not be UTF-8: the daemon says that it is none. */
static bool add_text(cJSON *params, const char *name, const char *text)
{
    return !text || cJSON_AddStringToObject(params, name, text);
}

static bool add_number(cJSON *params, const char *name, const char *digits)
{
    return !digits || cJSON_AddNumberToObject(params, name, strtod(digits, NULL));
}

/* A heap string; NULL when out of memory. */
static char *params_of(const struct trace_options *o)
{
    cJSON *params = cJSON_CreateObject();
    char *text = NULL;
    if (params && add_number(params, "client", o->client) &&
        add_number(params, "worker", o->worker) && add_text(params, "threadId", o->thread) &&
        add_text(params, "method", o->method) && cJSON_AddBoolToObject(params, "full", o->full))
        text = cJSON_PrintUnformatted(params);
    cJSON_Delete(params);
    return text;
}

/* Where lines are cut: at the edge of a terminal. */
static size_t columns(const struct trace_options *o)
{
    struct winsize size = {0};
    if (o->full || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_ENDLESS;
    return size.ws_col;
}

/* The bytes of so many characters. */
static size_t bytes_of(const char *text, size_t n, size_t characters)
{
    size_t i = 0;
    for (; i < n; i++) {
        bool begins = ((unsigned char)text[i] & 0xC0) != 0x80;
        if (begins && characters-- == 0)
            break;
    }
    return i;
}

/* "clientId=workerId", or what there is of it. */
static void print_ids(FILE *to, struct slice params)
{
    char ids[64];
    struct slice client = json_get(params, "clientId"), worker = json_get(params, "workerId");
    (void)snprintf(ids, sizeof(ids), "%.*s%s%.*s", (int)(client.n < 24 ? client.n : 24),
                   client.n ? client.p : "", worker.n ? "=" : "",
                   (int)(worker.n < 24 ? worker.n : 24), worker.n ? worker.p : "");
    fprintf(to, "%-12s ", ids);
}

/* "   3 -> pool       ", "   3    pool -> 1": who is concerned on either side. */
static void print_way(FILE *to, struct slice params)
{
    struct slice way = json_get_text(params, "way");
    struct slice client = json_get(params, "client"), worker = json_get(params, "worker");
    const char *left = "  ", *right = "  ";
    if (slice_is(way, "client>daemon"))
        left = "->";
    else if (slice_is(way, "daemon>client"))
        left = "<-";
    else if (slice_is(way, "daemon>worker"))
        right = "->";
    else
        right = "<-";
    fprintf(to, "%4.*s %s pool %s %-4.*s", (int)client.n, client.n ? client.p : "", left, right,
            (int)worker.n, worker.n ? worker.p : "");
}

/* A string of the message over as many columns, safe to print; "-" where there is none. */
static void print_text(FILE *to, struct slice raw, int width)
{
    _cleanup_free_ char *text = NULL;
    size_t n;
    FILE *shown = raw.n ? open_memstream(&text, &n) : NULL;
    if (shown) {
        text_show_raw(shown, raw, " ");
        if (fclose(shown) != 0)
            return;
    }
    fprintf(to, "%-*s ", width, text ? text : "-");
}

/* A UUID's end tells it from others where there is no room for all of it. */
static void print_thread(FILE *to, struct slice raw, size_t room)
{
    bool whole = room >= ROOM_FOR_THREADS;
    if (!whole && raw.n > THREAD_END && !memchr(raw.p, '\\', raw.n))
        raw = (struct slice){raw.p + raw.n - THREAD_END, THREAD_END};
    print_text(to, raw, whole ? 36 : THREAD_END);
}

static void print_for_people(FILE *to, struct slice params, size_t room)
{
    struct slice time = json_get_text(params, "time"), kind = json_get_text(params, "kind");
    bool clock = time.n > 12 && time.p[10] == 'T';
    fprintf(to, "%.*s ", clock ? 12 : (int)time.n, clock ? time.p + 11 : time.n ? time.p : "");
    print_way(to, params);
    print_ids(to, params);
    print_text(to, slice_is(kind, "notification") ? SLICE("notify") : kind, 7);
    print_text(to, json_get_text(params, "method"), 28);
    print_thread(to, json_get_text(params, "threadId"), room);
    text_show_raw(to, json_get_text(params, "payload"), " ");
}

static int show(struct output *out, const struct trace_options *o, struct slice params)
{
    _cleanup_free_ char *text = NULL;
    size_t n = 0;
    struct slice dropped = json_get(params, "dropped");
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return -ENOMEM;
    if (o->json)
        fprintf(to, "%.*s", (int)params.n, params.p);
    else
        print_for_people(to, params, columns(o));
    if (fclose(to) != 0)
        return -ENOMEM;
    if (!o->json && dropped.n) {
        char lost[64];
        int length = snprintf(lost, sizeof(lost), "%.*s lines lost\n",
                              (int)(dropped.n < 24 ? dropped.n : 24), dropped.p);
        if (output_put(out, (struct slice){lost, (size_t)length}) < 0)
            return -ENOMEM;
    }
    size_t fits = o->json ? n : bytes_of(text, n, columns(o));
    int r = output_put(out, (struct slice){text, fits});
    return r < 0 ? r : output_put(out, SLICE("\n"));
}

/* Until a signal, the end of the daemon or of whoever reads. */
static int follow(struct session *s, struct output *out, const struct trace_options *o)
{
    struct session_wait w = {.input = -1, .out = out};
    for (;;) {
        struct slice line;
        struct envelope e;
        const char *why;
        switch (session_next(s, &w, &line)) {
        case SESSION_LINE:
            if (envelope_scan(line, &e, &why) == ENVELOPE_OK && slice_is(e.method, "pool/trace") &&
                show(out, o, e.params) < 0)
                return session_no_memory();
            break;
        case SESSION_SIGNAL:
        case SESSION_OUTPUT_GONE:
            return CMD_DONE;
        case SESSION_CLOSED:
            (void)session_drain(s, out);
            return session_lost(s);
        default:
            break;
        }
    }
}

static int trace(struct session *s, const struct trace_options *o)
{
    struct output out;
    struct slice result;
    _cleanup_free_ char *params = params_of(o);
    if (!params)
        return session_no_memory();
    int code = session_call(s, "pool/trace", slice_str(params), session_now() + SESSION_PATIENCE_MS,
                            &result);
    if (code != CMD_DONE)
        return code == CMD_INTERRUPTED ? CMD_DONE : code;
    output_init(&out, STDOUT_FILENO);
    code = follow(s, &out, o);
    output_deinit(&out);
    return code;
}

int cmd_trace(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    struct trace_options given = {0};
    const struct cmd_option options[] = {
        {"--client", NULL, &given.client}, {"--worker", NULL, &given.worker},
        {"--thread", NULL, &given.thread}, {"--method", NULL, &given.method},
        {"--full", &given.full, NULL},     {"--json", &given.json, NULL},
    };
    int code = cmd_options(cmd, options, ARRAY_LEN(options), &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc > 0)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[0]);
    if (given.client && !is_number(given.client))
        return cmd_usage_error(cmd, "'%s' is no client's number", given.client);
    if (given.worker && !is_number(given.worker))
        return cmd_usage_error(cmd, "'%s' is no worker's number", given.worker);
    code = session_open(&s, socket, SIGTERM);
    if (code == CMD_DONE)
        code = trace(&s, &given);
    session_close(&s);
    return code;
}
