/* The one-pass scanner against a cJSON tree of the same line, and the front of a line against both.
 *
 * Where it says that the line is a message, every member that it found is the tree's, and the tree
 * has no other of those. Where it says that it is none, the tree shows why. reference.h says what
 * is JSON to one of the two alone. By intention the scanner also refuses, as ENVELOPE_INVALID, what
 * cJSON has no opinion of:
 *   - a member that decides where a message goes twice (two readers could understand two messages);
 *   - an escape in the name of a member of the message or of its params, in the method or in the
 *     thread's id (they are compared as they are written).
 * Names inside params.thread are not looked at so closely: only workers send it.
 * What front.h finds in the front of a notification, the scanner finds in all of it. */
#include "proto/envelope.h"
#include "proto/front.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference.h"

#include <errno.h>

static const cJSON *item(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

static void check_member(struct slice found, const cJSON *tree, const char *name)
{
    const cJSON *member = item(tree, name);
    MUST(!found.p == !member, "%s: found by one alone", name);
    if (member)
        MUST(reference_same(found, member), "%s: another value", name);
}

/* The member of this name that is a string; of two the scanner has refused the message. */
static const cJSON *text_item(const cJSON *object, const char *name)
{
    const cJSON *found = NULL, *each;
    if (!cJSON_IsObject(object))
        return NULL;
    cJSON_ArrayForEach(each, object)
    {
        if (strcmp(each->string, name) == 0 && cJSON_IsString(each))
            found = each;
    }
    return found;
}

/* params.threadId, else params.thread.id, else params.conversationId; strings only. */
static const cJSON *thread_id_of(const cJSON *params, struct slice raw)
{
    const cJSON *id = text_item(params, "threadId");
    const cJSON *inner = item(item(params, "thread"), "id");
    bool written = json_get_text(json_get(raw, "thread"), "id").p;
    if (!id && (written || (cJSON_IsString(inner) && !memchr(raw.p, '\\', raw.n))))
        id = inner;
    return id ? id : text_item(params, "conversationId");
}

static void check_message(const struct envelope *e, const cJSON *tree)
{
    const cJSON *method = item(tree, "method"), *params = item(tree, "params");
    check_member(e->id, tree, "id");
    check_member(e->params, tree, "params");
    check_member(e->result, tree, "result");
    check_member(e->error, tree, "error");
    MUST(!e->method.p == !cJSON_IsString(method), "method: found by one alone");
    if (method)
        MUST(slice_is(e->method, method->valuestring), "method: another");
    const cJSON *id = thread_id_of(params, e->params);
    MUST(!e->thread_id.p == !id, "thread id: found by one alone");
    if (id && !memchr(e->params.p, '\\', e->params.n))
        MUST(slice_is(e->thread_id, id->valuestring), "thread id: another");
    MUST(!e->thread_id.n || !memchr(e->thread_id.p, '\\', e->thread_id.n), "an escape in it");
    enum envelope_kind kind = !method            ? ENVELOPE_RESPONSE
                              : item(tree, "id") ? ENVELOPE_REQUEST
                                                 : ENVELOPE_NOTIFICATION;
    MUST(e->kind == kind, "another kind of message");
}

static bool usable(const cJSON *id, struct slice line)
{
    if (!cJSON_IsNumber(id))
        return cJSON_IsString(id);
    /* The tree has a double of it; the digits are the line's. */
    _cleanup_free_ char *text = slice_dup(json_get(line, "id"));
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    (void)value;
    return errno == 0 && *end == '\0';
}

static bool twice(const cJSON *object)
{
    const cJSON *each;
    if (!cJSON_IsObject(object))
        return false;
    cJSON_ArrayForEach(each, object)
    {
        for (const cJSON *other = each->next; other; other = other->next)
            if (strcmp(each->string, other->string) == 0)
                return true;
    }
    return false;
}

/* The tree shows what the scanner says is wrong. */
static bool justified(const char *why, const cJSON *tree, struct slice line)
{
    bool method = item(tree, "method"), id = item(tree, "id");
    bool result = item(tree, "result"), error = item(tree, "error");
    if (strcmp(why, "duplicate member") == 0)
        return twice(tree) || twice(item(tree, "params"));
    if (strncmp(why, "escape sequence", 15) == 0)
        return memchr(line.p, '\\', line.n);
    if (strncmp(why, "id must be", 10) == 0)
        return id && !usable(item(tree, "id"), line);
    if (strcmp(why, "method must be a string") == 0)
        return method && !cJSON_IsString(item(tree, "method"));
    if (strncmp(why, "a message has either", 20) == 0)
        return method && (result || error);
    if (strcmp(why, "missing method") == 0)
        return !method && !id;
    if (strncmp(why, "missing method, or one", 22) == 0)
        return !method && result == error;
    return strncmp(why, "not a JSON object", 17) == 0 && !cJSON_IsObject(tree);
}

static void check_borrowed(struct slice part, struct slice line)
{
    if (part.p)
        MUST((part.p >= line.p && part.p + part.n <= line.p + line.n) || slice_is(part, "\""),
             "a slice of something else");
}

/* The message begins just so. */
static bool plain_front(struct slice line, const struct envelope *e)
{
    char front[300];
    if (!e->method.n || e->method.n > 100 || !e->thread_id.n || e->thread_id.n > 100)
        return false;
    for (size_t i = 0; i < e->method.n + e->thread_id.n; i++) {
        char ch = i < e->method.n ? e->method.p[i] : e->thread_id.p[i - e->method.n];
        if (ch <= ' ' || ch >= 0x7F)
            return false;
    }
    int n = snprintf(front, sizeof(front), "{\"method\":\"%.*s\",\"params\":{\"threadId\":\"%.*s\"",
                     (int)e->method.n, e->method.p, (int)e->thread_id.n, e->thread_id.p);
    return n > 0 && (size_t)n <= line.n && memcmp(line.p, front, (size_t)n) == 0;
}

static void check_front(struct slice line, int r, const struct envelope *e)
{
    struct front f;
    if (!front_scan(line, &f)) {
        MUST(r != ENVELOPE_OK || !plain_front(line, e), "a front like any other is not seen");
        return;
    }
    check_borrowed(f.method, line);
    check_borrowed(f.thread_id, line);
    MUST(f.n <= line.n && f.thread_id.p + f.thread_id.n + 1 == line.p + f.n, "it ends elsewhere");
    if (r != ENVELOPE_OK)
        return;
    MUST(slice_eq(f.method, e->method), "another method in its front");
    MUST(slice_eq(f.thread_id, e->thread_id), "another thread in its front");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = fuzz_exact(data, size);
    struct envelope e;
    const char *why = NULL;
    int r = envelope_scan(line, &e, &why);
    cJSON *tree = reference_parse(line);
    const struct slice parts[] = {e.id, e.method, e.params, e.result, e.error, e.thread_id};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        check_borrowed(parts[i], line);
    if (r != ENVELOPE_NOT_JSON)
        MUST(!reference_laxness(line), "taken in spite of %s", reference_laxness(line));
    if (r == ENVELOPE_NOT_JSON) {
        MUST(why && !e.id.p, "no reason, or an id nevertheless");
        MUST(!tree || reference_laxness(line), "cJSON takes it");
    } else if (!tree) {
        MUST(reference_long_number(line), "cJSON refuses it");
    } else if (r == ENVELOPE_INVALID) {
        MUST(why && justified(why, tree, line), "not so: %s", why);
        MUST(!e.id.p || usable(item(tree, "id"), line), "an id that is of no use");
    } else {
        MUST(!why, "a reason against a message: %s", why);
        check_message(&e, tree);
    }
    check_front(line, r, &e);
    cJSON_Delete(tree);
    free((char *)line.p);
    return 0;
}
