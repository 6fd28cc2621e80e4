#include "proto/envelope.h"

#include "proto/json.h"

#include <errno.h>

static const char duplicate[] = "duplicate member";
static const char escaped[] = "escape sequence in a member's name, a method or a thread id";

/* Members that decide where a message goes must not be there twice: two readers could then
 * understand two different messages. */
static void set_once(struct slice *to, struct slice value, const char **why)
{
    if (to->p)
        *why = duplicate;
    else
        *to = value;
}

static void set_text(struct slice *to, struct slice value, const char **why)
{
    struct slice text = json_text(value);
    if (text.p)
        set_once(to, text, why);
}

/* Names are compared as they are written. One written otherwise would mean nothing to us and
 * something to Codex. */
static void refuse_escapes(struct slice text, const char **why)
{
    if (text.n && memchr(text.p, '\\', text.n))
        *why = escaped;
}

static void set_method(struct envelope *e, struct slice value, const char **why)
{
    struct slice text = json_text(value);
    refuse_escapes(text, why);
    set_once(&e->method, text.p ? text : SLICE("\""), why);
}

static void scan_params(struct json_cursor *c, struct envelope *e, const char **why)
{
    struct slice key, thread = SLICE_NULL, conversation = SLICE_NULL;
    const char *start = c->p;
    bool first = true;
    if (!json_enter_object(c)) {
        set_once(&e->params, json_skip(c, 1), why);
        return;
    }
    while (json_member(c, &first, &key)) {
        if (c->escaped)
            *why = escaped;
        struct slice value = json_skip(c, 2);
        if (c->bad)
            return;
        if (slice_is(key, "threadId"))
            set_text(&e->thread_id, value, why);
        else if (slice_is(key, "thread"))
            set_once(&thread, value, why);
        else if (slice_is(key, "conversationId"))
            set_text(&conversation, value, why);
    }
    if (c->bad)
        return;
    if (!e->thread_id.p && thread.p)
        e->thread_id = json_get_text(thread, "id");
    if (!e->thread_id.p)
        e->thread_id = conversation;
    refuse_escapes(e->thread_id, why);
    set_once(&e->params, (struct slice){start, (size_t)(c->p - start)}, why);
}

static bool usable_id(struct slice id)
{
    if (json_text(id).p)
        return true;
    if (!id.n || id.n > 20)
        return false;
    char digits[24] = {0};
    memcpy(digits, id.p, id.n);
    char *end;
    errno = 0;
    (void)strtoll(digits, &end, 10);
    return errno == 0 && *end == '\0' && end != digits;
}

static void scan_member(struct json_cursor *c, struct slice key, struct envelope *e,
                        const char **why)
{
    if (c->escaped)
        *why = escaped;
    if (slice_is(key, "params")) {
        scan_params(c, e, why);
        return;
    }
    struct slice value = json_skip(c, 1);
    if (c->bad)
        return;
    if (slice_is(key, "id"))
        set_once(&e->id, value, why);
    else if (slice_is(key, "method"))
        set_method(e, value, why);
    else if (slice_is(key, "result"))
        set_once(&e->result, value, why);
    else if (slice_is(key, "error"))
        set_once(&e->error, value, why);
}

static int invalid(const char *reason, const char **why)
{
    *why = reason;
    return ENVELOPE_INVALID;
}

/* What kind of message the members make. */
static int classify(struct envelope *e, const char **why)
{
    if (e->id.p && !usable_id(e->id)) {
        e->id = SLICE_NULL;
        return invalid("id must be a string or a 64-bit integer", why);
    }
    if (e->method.p) {
        if (slice_is(e->method, "\""))
            return invalid("method must be a string", why);
        if (e->result.p || e->error.p)
            return invalid("a message has either a method or a result", why);
        e->kind = e->id.p ? ENVELOPE_REQUEST : ENVELOPE_NOTIFICATION;
        return ENVELOPE_OK;
    }
    if (!e->id.p)
        return invalid("missing method", why);
    if (!e->result.p == !e->error.p)
        return invalid("missing method, or one of result and error", why);
    e->kind = ENVELOPE_RESPONSE;
    return ENVELOPE_OK;
}

int envelope_scan(struct slice line, struct envelope *e, const char **why)
{
    struct json_cursor c = {.p = line.p, .end = line.p + line.n};
    struct slice key;
    bool first = true;
    *e = (struct envelope){0};
    *why = NULL;
    if (!json_enter_object(&c)) {
        *why = "not JSON";
        if (!json_valid(line))
            return ENVELOPE_NOT_JSON;
        return invalid("not a JSON object (batches are not supported)", why);
    }
    while (json_member(&c, &first, &key))
        scan_member(&c, key, e, why);
    json_space(&c);
    if (c.bad || c.p != c.end) {
        *e = (struct envelope){0};
        *why = "not JSON, or nested too deep";
        return ENVELOPE_NOT_JSON;
    }
    if (*why) {
        if (e->id.p && !usable_id(e->id))
            e->id = SLICE_NULL;
        return ENVELOPE_INVALID;
    }
    return classify(e, why);
}
