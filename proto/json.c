#include "proto/json_walk.h"

static const char *digits_end(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > start ? p : NULL;
}

static const char *number_end(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    p = p < end && *p == '0' ? p + 1 : digits_end(p, end);
    if (p && p < end && *p == '.')
        p = digits_end(p + 1, end);
    if (p && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = digits_end(p, end);
    }
    return p;
}

static const char *literal_end(const char *p, const char *end, struct slice literal)
{
    bool there = (size_t)(end - p) >= literal.n && memcmp(p, literal.p, literal.n) == 0;
    return there ? p + literal.n : NULL;
}

const char *json_word_end(const char *p, const char *end)
{
    if (p >= end)
        return NULL;
    switch (*p) {
    case 't':
        return literal_end(p, end, SLICE("true"));
    case 'f':
        return literal_end(p, end, SLICE("false"));
    case 'n':
        return literal_end(p, end, SLICE("null"));
    default:
        return number_end(p, end);
    }
}

/* Of each open container whether it is an object; a bit set, so that depth costs no stack. */
struct nesting {
    uint64_t objects[JSON_MAX_DEPTH / 64];
    unsigned depth;
};

static inline void push(struct nesting *n, bool object)
{
    uint64_t *word = &n->objects[n->depth / 64], bit = UINT64_C(1) << (n->depth % 64);
    *word = object ? *word | bit : *word & ~bit;
    n->depth++;
}

static inline bool in_object(const struct nesting *n)
{
    return n->objects[(n->depth - 1) / 64] >> ((n->depth - 1) % 64) & 1;
}

/* Past the bracket that closes the innermost container, which so ends. */
static inline bool pop(struct json_cursor *c, struct nesting *n)
{
    if (!json_walk_past(c, in_object(n) ? '}' : ']'))
        return false;
    n->depth--;
    return true;
}

const char *json_container_end(const char *p, const char *end, unsigned depth)
{
    struct json_cursor c = {.p = p, .end = end};
    struct nesting n = {.depth = depth};
    struct slice name;
    do {
        if (json_walk_past(&c, '"')) {
            (void)json_walk_string(&c);
        } else if (json_walk_at(&c, '{') || json_walk_at(&c, '[')) {
            if (n.depth >= JSON_MAX_DEPTH)
                return NULL;
            push(&n, *c.p == '{');
            c.p++;
            if (!pop(&c, &n)) {
                if (in_object(&n))
                    (void)json_walk_name(&c, &name);
                continue;
            }
        } else {
            (void)json_walk_to(&c, json_word_end(c.p, c.end));
        }
        /* A value has ended here. Either another follows it, or what it is in ends with it. */
        while (n.depth > depth && !json_walk_past(&c, ','))
            if (!pop(&c, &n))
                return NULL;
        if (n.depth > depth && in_object(&n))
            (void)json_walk_name(&c, &name);
    } while (!c.bad && n.depth > depth);
    return c.bad ? NULL : c.p;
}

struct slice json_skip(struct json_cursor *c, unsigned depth)
{
    return json_walk_skip(c, depth);
}

bool json_enter_object(struct json_cursor *c)
{
    return json_walk_past(c, '{');
}

bool json_member(struct json_cursor *c, bool *first, struct slice *key)
{
    if (!json_walk_member(c, first, key))
        return false;
    json_walk_space(c);
    return true;
}

bool json_valid(struct slice text)
{
    if (!text.n)
        return false;
    struct json_cursor c = {.p = text.p, .end = text.p + text.n};
    (void)json_skip(&c, 0);
    json_walk_space(&c);
    return !c.bad && c.p == c.end;
}

/* The first name of a path. */
static struct slice first_name(const char *path)
{
    size_t n = 0;
    while (path[n] && path[n] != '.')
        n++;
    return (struct slice){path, n};
}

struct slice json_get(struct slice object, const char *path)
{
    struct slice name = first_name(path), key;
    bool first = true;
    if (!object.n)
        return SLICE_NULL;
    struct json_cursor c = {.p = object.p, .end = object.p + object.n};
    if (!json_walk_past(&c, '{'))
        return SLICE_NULL;
    while (json_walk_member(&c, &first, &key)) {
        bool found = slice_eq(key, name), inside = found && name.p[name.n] == '.';
        if (!inside) {
            json_walk_space(&c);
            struct slice value = json_walk_skip(&c, 0);
            if (found)
                return value;
        } else if (json_walk_past(&c, '{')) {
            name = first_name(name.p + name.n + 1);
            first = true;
        } else {
            return SLICE_NULL;
        }
    }
    return SLICE_NULL;
}

struct slice json_get_text(struct slice object, const char *path)
{
    return json_text(json_get(object, path));
}

void json_each(struct slice array, void (*each)(struct slice element, void *arg), void *arg)
{
    if (!array.n)
        return;
    struct json_cursor c = {.p = array.p, .end = array.p + array.n};
    json_walk_space(&c);
    if (!json_walk_at(&c, '['))
        return;
    c.p++;
    json_walk_space(&c);
    while (!c.bad && c.p < c.end && !json_walk_at(&c, ']')) {
        struct slice element = json_skip(&c, 0);
        if (c.bad)
            return;
        each(element, arg);
        json_walk_space(&c);
        if (json_walk_at(&c, ','))
            c.p++;
        json_walk_space(&c);
    }
}

static void count_one(struct slice element, void *arg)
{
    (void)element;
    ++*(size_t *)arg;
}

size_t json_count(struct slice array)
{
    size_t n = 0;
    json_each(array, count_one, &n);
    return n;
}

bool json_is_utf8(struct slice text)
{
    if (!text.n)
        return true;
    const char *p = text.p, *end = text.p + text.n;
    while (p && p < end)
        p = (unsigned char)*p < 0x80 ? p + 1 : json_utf8_end(p, end);
    return p != NULL;
}

void json_clean_text(char *text)
{
    char *end = text + strlen(text);
    while (text < end) {
        const char *next = (unsigned char)*text < 0x80 ? text + 1 : json_utf8_end(text, end);
        if (!next)
            *text = '?';
        text += next ? next - text : 1;
    }
}
