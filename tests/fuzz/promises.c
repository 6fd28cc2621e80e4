#include "tests/fuzz/promises.h"

#include "proto/envelope.h"
#include "proto/front.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

/* Requests with one id. */
struct tally {
    struct list in_promises;
    char *id; /* raw; "null": where none could be read */
    unsigned asked, answered;
    bool pools; /* one of them asks the pool about itself */
};

void mark_write(char *to, char kind, unsigned serial)
{
    (void)snprintf(to, MARK_MAX, "%%%c%u%%", kind, serial);
}

unsigned mark_find(struct slice text, const char *kinds, size_t *at)
{
    unsigned serial = 0;
    while (!serial && *at < text.n) {
        const char *p = memchr(text.p + *at, '%', text.n - *at);
        if (!p) {
            *at = text.n;
            break;
        }
        *at = (size_t)(p - text.p) + 1;
        if (*at < text.n && text.p[*at] && strchr(kinds, text.p[*at]))
            for (++*at; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; ++*at)
                serial = serial * 10 + (unsigned)(text.p[*at] - '0');
    }
    return serial;
}

void promises_init(struct promises *p, unsigned serial, const struct strays *strays,
                   size_t max_line_bytes)
{
    *p = (struct promises){.serial = serial, .strays = strays};
    linebuf_init(&p->sent, max_line_bytes);
    list_init(&p->tallies);
}

void promises_deinit(struct promises *p)
{
    struct tally *t;
    while ((t = list_first(&p->tallies, struct tally, in_promises))) {
        list_remove(&t->in_promises);
        free(t->id);
        free(t);
    }
    linebuf_deinit(&p->sent);
}

static struct tally *tally_of(struct promises *p, struct slice id)
{
    list_for_each (it, &p->tallies) {
        struct tally *t = list_entry(it, struct tally, in_promises);
        if (slice_is(id, t->id))
            return t;
    }
    struct tally *t = calloc(1, sizeof(*t));
    MUST(t && (t->id = slice_dup(id)), "out of memory");
    list_append(&p->tallies, &t->in_promises);
    return t;
}

static void expect_answer(struct promises *p, struct slice line)
{
    struct envelope e;
    const char *why;
    int r = envelope_scan(line, &e, &why);
    TRACE("of client %u: %.*s\n", p->serial, (int)line.n, line.p);
    if (r == ENVELOPE_OK && e.kind != ENVELOPE_REQUEST)
        return;
    struct tally *t = tally_of(p, e.id.p ? e.id : SLICE("null"));
    t->asked++;
    p->attaches = p->attaches || slice_is(e.method, "pool/attach");
    t->pools = t->pools || slice_starts(e.method, "pool/");
}

void promises_sent(struct promises *p, struct slice bytes)
{
    struct slice line;
    int r;
    if (p->refused)
        return;
    MUST(linebuf_push(&p->sent, bytes.p, bytes.n) == 0, "out of memory");
    while ((r = linebuf_next(&p->sent, &line)) == LINEBUF_OK)
        if (line.n)
            expect_answer(p, line);
    if (r == LINEBUF_TOO_LONG) {
        p->refused = true;
        tally_of(p, SLICE("null"))->asked++;
    }
}

static void check_marks(const struct promises *p, struct slice text, const char *kinds,
                        struct slice line)
{
    unsigned whose;
    for (size_t at = 0; (whose = mark_find(text, kinds, &at));)
        MUST(whose == p->serial, "client %u gets what is client %u's: %.*s", p->serial, whose,
             (int)line.n, line.p);
}

/* A thread's whole name; a script may have put more around it, which is another thread. */
static bool is_name(struct slice id)
{
    return slice_starts(id, "T%t") && memchr(id.p + 3, '%', id.n - 3) == id.p + id.n - 1;
}

static void check_strays(const struct promises *p, struct slice line)
{
    unsigned mark;
    for (size_t at = 0; (mark = mark_find(line, "w", &at));)
        for (size_t i = 0; i < STRAYS_KEPT; i++)
            MUST(mark != p->strays->mark[i], "client %u gets a second answer: %.*s", p->serial,
                 (int)line.n, line.p);
}

/* An answer to what had no id is the one message whose id is null. */
static bool null_answer(struct slice line)
{
    return json_valid(line) && slice_is(json_get(line, "id"), "null") && json_get(line, "error").p;
}

/* A piece of an item, of which nobody but its reader reads more than the front. */
static bool is_streamed(const struct promises *p, struct slice line)
{
    struct front f;
    if (!front_scan(line, &f) || !front_is_delta(&f))
        return false;
    if (is_name(f.thread_id) && !p->attached)
        check_marks(p, f.thread_id, "t", line);
    return true;
}

void promises_line(struct promises *p, struct slice line)
{
    struct envelope e;
    const char *why;
    bool message = envelope_scan(line, &e, &why) == ENVELOPE_OK;
    bool pools = message && slice_starts(e.method, "pool/");
    TRACE("to client %u: %.*s\n", p->serial, (int)line.n, line.p);
    if (!message && is_streamed(p, line))
        return;
    MUST(message || null_answer(line), "client %u gets what is no message: %.*s", p->serial,
         (int)line.n, line.p);
    if (p->attached)
        return;
    if (!message || e.kind == ENVELOPE_RESPONSE) {
        struct tally *t = tally_of(p, message ? e.id : SLICE("null"));
        t->answered++;
        pools = t->pools;
        p->attached = pools && message && json_get(e.result, "missedBytes").n;
        MUST(t->answered <= t->asked, "client %u: request %s: %u asked, answer %u: %.*s", p->serial,
             t->id, t->asked, t->answered, (int)line.n, line.p);
    }
    if (!pools)
        check_marks(p, line, "c", line);
    if (message && e.kind != ENVELOPE_RESPONSE && is_name(e.thread_id))
        check_marks(p, e.thread_id, "t", line);
    check_strays(p, line);
}

void promises_end(const struct promises *p)
{
    if (p->attached)
        return;
    list_for_each (it, &p->tallies) {
        const struct tally *t = list_entry(it, struct tally, in_promises);
        MUST(t->answered == t->asked, "client %u: request %s: %u asked, %u answered", p->serial,
             t->id, t->asked, t->answered);
    }
}
