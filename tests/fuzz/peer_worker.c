#include "tests/fuzz/peers.h"

#include "daemon/request.h"
#include "daemon/worker.h"
#include "proto/json.h"
#include "proto/method.h"
#include "tests/fuzz/fuzz.h"

/* What Codex says to a request: the result, then lines. */
static const struct {
    const char *method, *result, *then;
} customs[] = {
    {"initialize", "{\"userAgent\":\"fuzz/0.169.0 (x)\"}", ""},
    {"thread/start",
     "{\"thread\":{\"id\":\"^\",\"preview\":\"\"},\"model\":\"m\",\"cwd\":\"/x\",\"for\":\"@\"}",
     "{\"method\":\"thread/started\",\"params\":{\"thread\":{\"id\":\"^\"}}}\n"},
    {"thread/fork",
     "{\"thread\":{\"id\":\"^\",\"preview\":\"p\"},\"model\":\"m\",\"cwd\":\"/x\",\"for\":\"@\"}",
     ""},
    {"thread/resume",
     "{\"thread\":{\"id\":\"^\",\"preview\":\"p\"},\"model\":\"m\",\"cwd\":\"/x\",\"for\":\"@\"}",
     ""},
    {"turn/start", "{\"turn\":{\"id\":\"t\",\"status\":\"inProgress\"},\"for\":\"@\"}",
     "{\"method\":\"thread/status/changed\",\"params\":{\"threadId\":\"^\",\"status\":{\"type\":"
     "\"active\"}}}\n"
     "{\"method\":\"turn/started\",\"params\":{\"threadId\":\"^\",\"turn\":{\"id\":\"t\"}}}\n"},
    {"turn/interrupt", "{}",
     "{\"method\":\"thread/status/changed\",\"params\":{\"threadId\":\"^\",\"status\":{\"type\":"
     "\"idle\"}}}\n"
     "{\"method\":\"turn/completed\",\"params\":{\"threadId\":\"^\",\"turn\":{\"id\":\"t\","
     "\"status\":\"interrupted\"}}}\n"},
    {"thread/unsubscribe", "{\"status\":\"unsubscribed\"}",
     "{\"method\":\"thread/closed\",\"params\":{\"threadId\":\"^\"}}\n"},
    {"thread/loaded/list", "{\"data\":[]}", ""},
    {"thread/backgroundTerminals/list", "{\"data\":[]}", ""},
    {"thread/goal/get", "{\"goal\":null}", ""},
    {"thread/goal/set", "{\"goal\":{\"status\":\"active\"},\"for\":\"@\"}", ""},
    {"thread/queue/list", "{\"data\":[]}", ""},
    {"hooks/list", "{\"data\":[]}", ""},
};

static void asked_free(struct asked *a)
{
    free(a->id);
    free(a->thread_id);
    free(a->name);
}

static void forget_asked(struct peer_worker *w, size_t k)
{
    asked_free(&w->asked[k]);
    w->n_asked--;
    memmove(&w->asked[k], &w->asked[k + 1], (w->n_asked - k) * sizeof(w->asked[0]));
}

/* The thread that an answer opens bears the mark of who asked for it. */
static void note_opened(struct stage *st, struct peer_worker *w, const struct envelope *e)
{
    struct slice id = e->result.p ? json_get_text(e->result, "thread.id") : SLICE_NULL;
    size_t at = 0;
    unsigned serial = id.n ? mark_find(id, "t", &at) : 0;
    if (!id.n)
        return;
    names_add(&w->threads, id);
    names_add(&w->loaded, id);
    for (size_t i = 0; i < CLIENTS; i++)
        if (serial && st->clients[i].fd >= 0 && st->clients[i].promises.serial == serial)
            names_add(&st->clients[i].threads, id);
}

static void remember_answered(struct peer_worker *w, struct slice id)
{
    char **place = &w->answered[w->n_answered++ % ANSWERED_KEPT];
    free(*place);
    *place = slice_dup(id);
}

static bool has_answered(const struct peer_worker *w, struct slice id)
{
    for (size_t i = 0; i < ANSWERED_KEPT; i++)
        if (w->answered[i] && slice_is(id, w->answered[i]))
            return true;
    return false;
}

/* The daemon takes an answer to what it has sent, although the worker has not read it yet. */
static bool is_sent(const struct stage *st, const struct peer_worker *w, struct slice id)
{
    const struct server *s = &st->server;
    for (size_t i = 0; i < s->n_workers; i++) {
        for (size_t k = 0; k < WORKER_SLOTS && s->workers[i]->pid == w->pid; k++) {
            const struct request *r = s->workers[i]->slots[k];
            char number[24];
            (void)snprintf(number, sizeof(number), "%llu",
                           r ? (unsigned long long)r->worker_id : 0);
            if (r && slice_is(id, number))
                return true;
        }
    }
    return false;
}

/* An answer to nothing that it has read. Bytes of a second one are nobody's. */
static void note_unasked(struct stage *st, struct peer_worker *w, struct slice id,
                         struct slice line)
{
    unsigned mark;
    if (has_answered(w, id))
        for (size_t at = 0; (mark = mark_find(line, "w", &at));)
            st->strays.mark[st->strays.next++ % STRAYS_KEPT] = mark;
    else if (is_sent(st, w, id))
        remember_answered(w, id);
}

static void note_said(struct stage *st, struct peer_worker *w, struct slice line)
{
    struct envelope e;
    const char *why;
    TRACE("of worker %u: %.*s\n", w->serial, (int)line.n, line.p);
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK)
        return;
    if (slice_is(e.method, "thread/closed"))
        names_remove(&w->loaded, e.thread_id);
    if (e.kind != ENVELOPE_RESPONSE)
        return;
    for (size_t k = 0; k < w->n_asked; k++) {
        if (!slice_is(e.id, w->asked[k].id))
            continue;
        if (w->asked[k].method->flags & METHOD_OPENS)
            note_opened(st, w, &e);
        remember_answered(w, e.id);
        forget_asked(w, k);
        return;
    }
    note_unasked(st, w, e.id, line);
}

/* The thread that it writes about: a heap string. */
static char *about_thread(struct stage *st, const struct asked *about)
{
    char *name = NULL;
    if (!about)
        return NULL;
    bool opens = (about->method->flags & METHOD_OPENS) && !(about->method->flags & METHOD_RESUME);
    if (!opens || !about->client)
        return about->thread_id ? strdup(about->thread_id) : NULL;
    return asprintf(&name, "T%%t%u.%u%%", about->client, ++st->names) < 0 ? NULL : name;
}

void worker_write(struct stage *st, struct peer_worker *w, const struct asked *about,
                  struct slice payload, bool line)
{
    char mark[MARK_MAX];
    struct slice said;
    _cleanup_free_ char *thread = about_thread(st, about);
    mark_write(mark, 'w', ++st->words);
    if (about && about->client)
        mark_write(mark, 'c', about->client);
    struct writer writer = {.mark = mark, .about = thread, .names = &w->threads};
    size_t before = outbuf_len(&w->out);
    payload_expand(&w->out, payload, &writer, &st->budget);
    if (line)
        MUST(outbuf_line(&w->out, SLICE_NULL) == 0, "out of memory");
    struct slice written = payload_since(&w->out, before);
    MUST(linebuf_push(&w->said, written.p, written.n) == 0, "out of memory");
    while (linebuf_next(&w->said, &said) == LINEBUF_OK)
        note_said(st, w, said);
}

/* Codex has the thread that this is about; what it opens it need not have. */
static bool has_thread(const struct peer_worker *w, const struct asked *a)
{
    bool acts = a->method->class == METHOD_STREAM || a->method->class == METHOD_OWNER ||
                a->method->class == METHOD_PINNED;
    return !acts || !a->thread_id || (a->method->flags & METHOD_OPENS) ||
           names_have(&w->loaded, slice_str(a->thread_id));
}

void worker_answer(struct stage *st, struct peer_worker *w, size_t k, const char *member,
                   struct slice value)
{
    _cleanup_free_ char *payload = NULL;
    const char *then = "";
    if (k >= w->n_asked)
        return;
    const struct asked *a = &w->asked[k];
    if (!value.n && strcmp(member, "error") == 0)
        value = SLICE("{\"code\":-32600,\"message\":\"no\"}");
    if (!value.n && !has_thread(w, a)) {
        bool unsubscribe = a->method->flags & METHOD_UNSUBSCRIBE;
        value = unsubscribe ? SLICE("{\"status\":\"notLoaded\"}")
                            : SLICE("{\"code\":-32600,\"message\":\"thread not found: ^\"}");
        member = unsubscribe ? "result" : "error";
    }
    for (size_t i = 0; !value.n && i < ARRAY_LEN(customs); i++) {
        if (strcmp(a->name, customs[i].method) == 0) {
            value = slice_str(customs[i].result);
            then = customs[i].then;
        }
    }
    if (!value.n)
        value = SLICE("{\"for\":\"@\"}");
    int n = asprintf(&payload, "{\"id\":%s,\"%s\":%.*s}\n%s", a->id, member, (int)value.n, value.p,
                     then);
    MUST(n >= 0, "out of memory");
    worker_write(st, w, a, (struct slice){payload, (size_t)n}, false);
}

/* What is asked of one worker for different clients that need it to themselves. */
static void check_alone(const struct peer_worker *w, const struct asked *a)
{
    bool alone = a->method->class == METHOD_STREAM || a->method->class == METHOD_PINNED;
    for (size_t k = 0; alone && a->client && k < w->n_asked; k++) {
        const struct asked *other = &w->asked[k];
        bool stream =
            other->method->class == METHOD_STREAM || other->method->class == METHOD_PINNED;
        MUST(!stream || !other->client || other->client == a->client,
             "worker %u: %s of client %u while client %u's %s is not answered", w->serial, a->name,
             a->client, other->client, other->name);
    }
}

static void take_line(struct stage *st, struct peer_worker *w, struct slice line)
{
    struct envelope e;
    const char *why;
    size_t at = 0;
    TRACE("to worker %u: %.*s\n", w->serial, (int)line.n, line.p);
    MUST(envelope_scan(line, &e, &why) == ENVELOPE_OK, "worker %u gets what is no message: %.*s",
         w->serial, (int)line.n, line.p);
    if (e.kind != ENVELOPE_REQUEST || has_answered(w, e.id))
        return;
    MUST(w->n_asked < UNANSWERED_MAX, "worker %u has more requests than fit", w->serial);
    struct asked a = {.id = slice_dup(e.id),
                      .thread_id = e.thread_id.n ? slice_dup(e.thread_id) : NULL,
                      .name = slice_dup(e.method),
                      .method = method_find(e.method),
                      .client = mark_find(line, "c", &at)};
    if (a.client >= SERIALS_MAX || st->attach[a.client])
        a.client = 0;
    check_alone(w, &a);
    w->asked[w->n_asked++] = a;
    if (w->honest || (!st->manual && slice_is(e.method, "initialize")))
        worker_answer(st, w, w->n_asked - 1, "result", SLICE_NULL);
}

static void begin(struct stage *st, struct peer_worker *w, const struct process *p)
{
    *w = (struct peer_worker){.pid = p->pid, .serial = ++st->serials};
    outbuf_init(&w->out);
    linebuf_init(&w->in, SIZE_MAX / 4);
    linebuf_init(&w->said, SIZE_MAX / 4);
}

void worker_exit(struct stage *st, struct peer_worker *w, int status)
{
    struct server *s = &st->server;
    pid_t pid = w->pid;
    while (w->n_asked)
        forget_asked(w, 0);
    for (size_t i = 0; i < ANSWERED_KEPT; i++) {
        free(w->answered[i]);
        w->answered[i] = NULL;
    }
    outbuf_deinit(&w->out);
    linebuf_deinit(&w->in);
    linebuf_deinit(&w->said);
    names_free(&w->threads);
    names_free(&w->loaded);
    w->pid = 0;
    process_end(&outside()->processes[w - st->workers]);
    st->moved++;
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i]->pid == pid) {
            worker_on_exit(s->workers[i], status);
            return;
        }
    }
    MUST(false, "a process of no worker");
}

void worker_pump(struct stage *st, struct peer_worker *w)
{
    struct process *p = &outside()->processes[w - st->workers];
    struct slice line;
    if (!p->pid)
        return;
    if (w->pid != p->pid)
        begin(st, w, p);
    size_t before = outbuf_len(&w->out);
    if (p->stdout_fd < 0 || outbuf_flush(&w->out, p->stdout_fd) < 0)
        outbuf_deinit(&w->out);
    st->moved += before - outbuf_len(&w->out);
    int r = LINEBUF_AGAIN;
    while (!w->deaf && (r = linebuf_read(&w->in, p->stdin_fd)) == LINEBUF_OK) {
        st->moved++;
        while (linebuf_next(&w->in, &line) == LINEBUF_OK)
            take_line(st, w, line);
    }
    if (p->killed_by && (p->killed_by == 9 || !st->stubborn))
        worker_exit(st, w, p->killed_by);
    else if (r == LINEBUF_EOF && !st->stubborn)
        worker_exit(st, w, 0);
}

struct peer_worker *worker_at(struct stage *st, size_t i)
{
    const struct server *s = &st->server;
    pid_t pid = s->n_workers ? s->workers[i % s->n_workers]->pid : 0;
    for (size_t k = 0; k < PROCESSES; k++)
        if (pid && st->workers[k].pid == pid)
            return &st->workers[k];
    return NULL;
}
