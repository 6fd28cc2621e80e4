#include "proto/envelope.h"

#include "proto/decimal.h"
#include "proto/json_walk.h"

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
static void refuse_escape(bool has_one, const char **why)
{
    if (has_one)
        *why = escaped;
}

static void set_method(struct envelope *e, struct slice value, bool has_escape, const char **why)
{
    struct slice text = json_text(value);
    refuse_escape(text.p && has_escape, why);
    set_once(&e->method, text.p ? text : SLICE("\""), why);
}

/* The cursor is behind the opening brace. */
static void scan_params(struct json_cursor *c, struct envelope *e, const char **why)
{
    struct slice key = SLICE_NULL, thread = SLICE_NULL, conversation = SLICE_NULL;
    const char *start = c->p - 1;
    bool first = true;
    while (json_walk_member(c, &first, &key)) {
        refuse_escape(c->escaped, why);
        struct slice value = json_walk_skip(c, 2);
        if (!value.p)
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
    refuse_escape(e->thread_id.n && memchr(e->thread_id.p, '\\', e->thread_id.n), why);
    set_once(&e->params, (struct slice){start, (size_t)(c->p - start)}, why);
}

static bool usable_id(struct slice id)
{
    int64_t number;
    return json_text(id).p || decimal_read(id, &number);
}

static void scan_member(struct json_cursor *c, struct slice key, struct envelope *e,
                        const char **why)
{
    refuse_escape(c->escaped, why);
    if (slice_is(key, "params") && json_walk_past(c, '{')) {
        scan_params(c, e, why);
        return;
    }
    struct slice value = json_walk_skip(c, 1);
    if (!value.p)
        return;
    if (slice_is(key, "id"))
        set_once(&e->id, value, why);
    else if (slice_is(key, "method"))
        set_method(e, value, c->escaped, why);
    else if (slice_is(key, "params"))
        set_once(&e->params, value, why);
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

/* By its members: for all of it at once a compiler takes an instruction that is slow to begin. */
static void clear(struct envelope *e)
{
    e->kind = ENVELOPE_REQUEST;
    e->id = e->method = e->params = e->result = e->error = e->thread_id = SLICE_NULL;
}

int envelope_scan(struct slice line, struct envelope *e, const char **why)
{
    struct json_cursor c = {.p = line.p, .end = line.p + line.n};
    struct slice key = SLICE_NULL;
    bool first = true;
    clear(e);
    *why = NULL;
    if (!json_walk_past(&c, '{')) {
        *why = "not JSON";
        if (!json_valid(line))
            return ENVELOPE_NOT_JSON;
        return invalid("not a JSON object (batches are not supported)", why);
    }
    while (json_walk_member(&c, &first, &key))
        scan_member(&c, key, e, why);
    json_walk_space(&c);
    if (c.bad || c.p != c.end) {
        clear(e);
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
