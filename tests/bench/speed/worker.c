/* A scripted `codex app-server` that is faster than any relay: it looks for what it needs in the
 * first bytes of a line, and streams what a turn's text asks for (see wire.h). */
#include "tests/bench/speed/util.h"
#include "tests/bench/speed/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>

#define HEAD 1024
#define ENDLESS 1000000000
#define READ_BYTES ((size_t)256 * 1024)
#define ANSWER_MAX 8192
#define LIST_MAX (ANSWER_MAX / (THREAD_ID_LEN + 4))

struct worker {
    char *data;
    size_t begin, scanned, end, cap;
    char out[ANSWER_MAX]; /* what one line is answered by */
    size_t out_len;
    char (*threads)[THREAD_ID_LEN + 1];
    size_t thread_count, started;
};

/* What stands at the front of a line. */
struct message {
    const char *line;
    size_t n;
    char head[HEAD];
    char id[64], method[64], thread[THREAD_ID_LEN + 1];
};

/* Its reader may leave at any time: that is its end. */
static void put(const void *bytes, size_t n)
{
    if (!write_whole(1, bytes, n))
        exit(0);
}

static void flush(struct worker *w)
{
    put(w->out, w->out_len);
    w->out_len = 0;
}

static void say(struct worker *w, const char *format, ...) CP_PRINTF(2, 3);
static void say(struct worker *w, const char *format, ...)
{
    va_list args;
    if (sizeof(w->out) - w->out_len < ANSWER_MAX / 2)
        flush(w);
    va_start(args, format);
    int n = vsnprintf(w->out + w->out_len, sizeof(w->out) - w->out_len - 1, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(w->out) - w->out_len - 1)
        die("an answer is too long");
    w->out_len += (size_t)n;
    w->out[w->out_len++] = '\n';
}

/* What follows `key`, up to the first of `ends`; empty where it is missing. */
static void find(const char *head, const char *key, const char *ends, char *to, size_t size)
{
    const char *at = strstr(head, key);
    size_t n = at ? strcspn(at + strlen(key), ends) : 0;
    if (n >= size)
        n = 0;
    if (n)
        memcpy(to, at + strlen(key), n);
    to[n] = '\0';
}

static struct message read_front(const char *line, size_t n)
{
    struct message m = {.line = line, .n = n};
    size_t front = n < HEAD - 1 ? n : HEAD - 1;
    memcpy(m.head, line, front);
    m.head[front] = '\0';
    find(m.head, "\"id\":", ",}", m.id, sizeof(m.id));
    find(m.head, "\"method\":\"", "\"", m.method, sizeof(m.method));
    find(m.head, "\"threadId\":\"", "\"", m.thread, sizeof(m.thread));
    return m;
}

static size_t find_thread(const struct worker *w, const char *id)
{
    size_t i = 0;
    while (i < w->thread_count && strcmp(w->threads[i], id) != 0)
        i++;
    return i;
}

static void load(struct worker *w, const char *id)
{
    if (find_thread(w, id) < w->thread_count)
        return;
    w->threads = must(realloc(w->threads, (w->thread_count + 1) * sizeof(*w->threads)));
    (void)snprintf(w->threads[w->thread_count++], sizeof(*w->threads), "%.36s", id);
}

static void status(struct worker *w, const char *thread, const char *type, const char *more)
{
    say(w,
        "{\"method\":\"thread/status/"
        "changed\",\"params\":{\"threadId\":\"%s\",\"status\":{\"type\":"
        "\"%s\"%s}}}",
        thread, type, more);
}

static void answer_opened(struct worker *w, const struct message *m, const char *thread)
{
    load(w, thread);
    say(w,
        "{\"id\":%s,\"result\":{\"thread\":{\"id\":\"%s\",\"ephemeral\":false,\"status\":{\"type\":"
        "\"idle\"},\"path\":\"/scripted/"
        "%s.jsonl\",\"turns\":[],\"preview\":\"\",\"environments\":[]},"
        "\"model\":\"scripted\",\"modelProvider\":\"local\",\"serviceTier\":null,\"cwd\":\"/"
        "scripted\","
        "\"approvalPolicy\":\"never\",\"approvalsReviewer\":\"user\",\"sandbox\":{\"type\":"
        "\"dangerFullAccess\"},\"reasoningEffort\":null,\"activePermissionProfile\":null,"
        "\"disabledPluginIds\":[],\"multiAgentMode\":\"off\",\"instructionSources\":[]}}",
        m->id, thread, thread);
}

static void thread_start(struct worker *w, const struct message *m)
{
    char id[THREAD_ID_LEN + 1];
    (void)snprintf(id, sizeof(id), "019b0000-%04x-7000-8000-%012zx", (unsigned)getpid() & 0xffff,
                   ++w->started);
    answer_opened(w, m, id);
    say(w, "{\"method\":\"thread/started\",\"params\":{\"thread\":{\"id\":\"%s\",\"turns\":[]}}}",
        id);
}

static void thread_resume(struct worker *w, const struct message *m)
{
    status(w, m->thread, "idle", "");
    answer_opened(w, m, m->thread);
}

static void thread_unsubscribe(struct worker *w, const struct message *m)
{
    size_t i = find_thread(w, m->thread);
    bool loaded = i < w->thread_count;
    say(w, "{\"id\":%s,\"result\":{\"status\":\"%s\"}}", m->id,
        loaded ? "unsubscribed" : "notLoaded");
    if (!loaded)
        return;
    memcpy(w->threads[i], w->threads[--w->thread_count], sizeof(*w->threads));
    status(w, m->thread, "notLoaded", "");
    say(w, "{\"method\":\"thread/closed\",\"params\":{\"threadId\":\"%s\"}}", m->thread);
}

static void loaded_list(struct worker *w, const struct message *m)
{
    char list[ANSWER_MAX / 2 - 128];
    size_t n = 0;
    for (size_t i = 0; i < w->thread_count && n + THREAD_ID_LEN + 4 < sizeof(list); i++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", i ? "," : "", w->threads[i]);
    say(w, "{\"id\":%s,\"result\":{\"data\":[%.*s],\"nextCursor\":null}}", m->id, (int)n, list);
}

static void pause_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static bool is_asked(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

/* One of ENDLESS lines ends when anything is asked for. */
static void stream(const char *thread, size_t count, size_t size, bool each, unsigned rate)
{
    size_t cycle = wire_cycle(size);
    uint64_t begin = now_ns();
    _cleanup_free_ char *lines = must(malloc(cycle * size));
    for (size_t i = 0; i < cycle; i++)
        wire_delta(lines + i * size, size, thread, i);
    for (size_t sent = 0; sent < count && !(count == ENDLESS && is_asked());) {
        size_t at = sent % cycle;
        size_t n = each ? 1 : cycle;
        if (n > count - sent)
            n = count - sent;
        if (rate)
            pause_until(begin + sent * 1000000000 / rate);
        put(lines + at * size, n * size);
        sent += n;
    }
}

static void turn_start(struct worker *w, const struct message *m)
{
    size_t count = 0, size = 0;
    unsigned rate = 0;
    char how[8] = "";
    const char *order = strstr(m->head, "\"text\":\"stream ");
    if (order)
        (void)sscanf(order, "\"text\":\"stream %zu %zu %7[a-z] %u", &count, &size, how, &rate);
    const char *turn = m->thread + strlen(m->thread) - (strlen(m->thread) < 12 ? 0 : 12);
    load(w, m->thread);
    say(w,
        "{\"id\":%s,\"result\":{\"turn\":{\"id\":\"turn-of-%s\",\"items\":[],\"status\":"
        "\"inProgress\"}}}",
        m->id, turn);
    status(w, m->thread, "active", ",\"activeFlags\":[]");
    say(w,
        "{\"method\":\"turn/"
        "started\",\"params\":{\"threadId\":\"%s\",\"turn\":{\"id\":\"turn-of-%s\","
        "\"items\":[],\"status\":\"inProgress\",\"error\":null}}}",
        m->thread, turn);
    if (count) {
        flush(w);
        stream(m->thread, count, size, strcmp(how, "each") == 0, rate);
    }
    status(w, m->thread, "idle", "");
    say(w,
        "{\"method\":\"turn/"
        "completed\",\"params\":{\"threadId\":\"%s\",\"turn\":{\"id\":\"turn-of-%s\","
        "\"items\":[],\"status\":\"completed\",\"error\":null}}}",
        m->thread, turn);
}

/* The line again, with its parameters as the result. */
static void echo(struct worker *w, const struct message *m)
{
    const char *params = strstr(m->head, "\"params\":");
    if (!params)
        die("nothing to echo");
    size_t at = (size_t)(params - m->head) + strlen("\"params\":");
    char start[128];
    int n = snprintf(start, sizeof(start), "{\"id\":%s,\"result\":", m->id);
    flush(w);
    put(start, (size_t)n);
    put(m->line + at, m->n - at);
    put("\n", 1);
}

static void list_models(struct worker *w, const struct message *m)
{
    say(w, "{\"id\":%s,\"result\":{\"data\":[],\"nextCursor\":null}}", m->id);
}

static void initialize(struct worker *w, const struct message *m)
{
    say(w,
        "{\"id\":%s,\"result\":{\"userAgent\":\"speed/0.169.0 (Scripted; x86_64) (speed)\","
        "\"codexHome\":\"/scripted\",\"platformFamily\":\"unix\",\"platformOs\":\"linux\"}}",
        m->id);
}

static void no_goal(struct worker *w, const struct message *m)
{
    say(w, "{\"id\":%s,\"result\":{\"goal\":null}}", m->id);
}

static void thread_read(struct worker *w, const struct message *m)
{
    say(w,
        "{\"id\":%s,\"result\":{\"thread\":{\"id\":\"%s\",\"status\":{\"type\":\"%s\"},\"turns\":[]"
        "}}}",
        m->id, m->thread, find_thread(w, m->thread) < w->thread_count ? "idle" : "notLoaded");
}

static const struct {
    const char *name;
    void (*act)(struct worker *w, const struct message *m);
} methods[] = {
    {"model/list", list_models},
    {"turn/start", turn_start},
    {"thread/start", thread_start},
    {"thread/resume", thread_resume},
    {"thread/unsubscribe", thread_unsubscribe},
    {"thread/loaded/list", loaded_list},
    {"thread/read", thread_read},
    {"thread/goal/get", no_goal},
    {"thread/queue/list", list_models},
    {"thread/backgroundTerminals/list", list_models},
    {"hooks/list", list_models},
    {"initialize", initialize},
    {"bench/echo", echo},
};

static void take(struct worker *w, const char *line, size_t n)
{
    struct message m = read_front(line, n);
    if (!*m.id || !*m.method)
        return;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (strcmp(methods[i].name, m.method) == 0) {
            methods[i].act(w, &m);
            return;
        }
    }
    say(w, "{\"id\":%s,\"result\":{}}", m.id);
}

static void take_lines(struct worker *w)
{
    const char *nl;
    while ((nl = memchr(w->data + w->scanned, '\n', w->end - w->scanned))) {
        take(w, w->data + w->begin, (size_t)(nl - w->data) - w->begin);
        w->begin = w->scanned = (size_t)(nl - w->data) + 1;
    }
    w->scanned = w->end;
    if (w->begin == w->end)
        w->begin = w->scanned = w->end = 0;
    flush(w);
}

static void make_room(struct worker *w)
{
    if (w->cap - w->end >= READ_BYTES)
        return;
    if (w->begin) {
        memmove(w->data, w->data + w->begin, w->end - w->begin);
        w->scanned -= w->begin;
        w->end -= w->begin;
        w->begin = 0;
    }
    if (w->cap - w->end >= READ_BYTES)
        return;
    w->cap = w->cap ? w->cap * 2 : 2 * READ_BYTES;
    w->data = must(realloc(w->data, w->cap));
}

int main(int argc, char **argv)
{
    static struct worker w;
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("codex-cli 0.169.0-speed") < 0;
    for (;;) {
        make_room(&w);
        ssize_t n = read(0, w.data + w.end, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("read: %s", strerror(errno));
        if (n == 0)
            return 0;
        w.end += (size_t)n;
        take_lines(&w);
    }
}
