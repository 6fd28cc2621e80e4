/* How json.c and envelope.c go through a text: json_walk_skip does what json_skip does, and so on.
 * All is inline, so that a function with a cursor of its own has it in registers; it hands the
 * cursor to nothing that is not. */
#ifndef PROTO_JSON_WALK_H
#define PROTO_JSON_WALK_H

#include "proto/json.h"

#define JSON_WALK static inline __attribute__((always_inline))

/* Past an object or an array at p; NULL if it is none. */
const char *json_container_end(const char *p, const char *end, unsigned depth);

/* Past a number, true, false or null; NULL if there is none. */
const char *json_word_end(const char *p, const char *end);

JSON_WALK bool json_walk_at(const struct json_cursor *c, char ch)
{
    return c->p < c->end && *c->p == ch;
}

JSON_WALK bool json_walk_fail(struct json_cursor *c)
{
    c->bad = true;
    c->p = c->end;
    return false;
}

/* To where a step has come; NULL: it failed. */
JSON_WALK bool json_walk_to(struct json_cursor *c, const char *p)
{
    if (__builtin_expect(!p, false))
        return json_walk_fail(c);
    c->p = p;
    return true;
}

JSON_WALK void json_walk_space(struct json_cursor *c)
{
    while (c->p < c->end && (unsigned char)*c->p <= ' ' &&
           (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

/* Past white space, and past this byte if it is what comes then. Between Codex's tokens there is no
 * white space, so that the byte is looked for first, and expected: what follows an unexpected one
 * a compiler makes small instead of fast. */
JSON_WALK bool json_walk_past(struct json_cursor *c, char ch)
{
    if (__builtin_expect(!json_walk_at(c, ch), false)) {
        json_walk_space(c);
        if (!json_walk_at(c, ch))
            return false;
    }
    c->p++;
    return true;
}

/* The cursor is behind the opening quote. */
JSON_WALK bool json_walk_string(struct json_cursor *c)
{
    return json_walk_to(c, json_string_end(&c->marks, c->p, c->end, &c->escaped));
}

JSON_WALK struct slice json_walk_skip(struct json_cursor *c, unsigned depth)
{
    bool is_string = json_walk_past(c, '"'), good;
    const char *start = is_string ? c->p - 1 : c->p;
    if (is_string)
        good = json_walk_string(c);
    else if (json_walk_at(c, '{') || json_walk_at(c, '['))
        good = json_walk_to(c, json_container_end(c->p, c->end, depth));
    else
        good = json_walk_to(c, json_word_end(c->p, c->end));
    return good ? (struct slice){start, (size_t)(c->p - start)} : SLICE_NULL;
}

/* Past a member's name, which is given without quotes, and its colon. */
JSON_WALK bool json_walk_name(struct json_cursor *c, struct slice *name)
{
    if (!json_walk_past(c, '"'))
        return json_walk_fail(c);
    name->p = c->p;
    if (!json_walk_string(c))
        return false;
    name->n = (size_t)(c->p - 1 - name->p);
    return json_walk_past(c, ':') || json_walk_fail(c);
}

/* As json_member, but there may be white space before the value. */
JSON_WALK bool json_walk_member(struct json_cursor *c, bool *first, struct slice *key)
{
    bool another = *first ? !json_walk_past(c, '}') : json_walk_past(c, ',');
    if (!another) {
        if (!*first && !json_walk_past(c, '}'))
            (void)json_walk_fail(c);
        return false;
    }
    *first = false;
    return json_walk_name(c, key);
}

#endif
