/* Strings of a JSON text: where they end, and whether they are well-formed. For json_walk.h. */
#ifndef PROTO_JSON_STRING_H
#define PROTO_JSON_STRING_H

#include "proto/base.h"

/* The bytes that do not stand for themselves in a string, each a bit, of the 64 at `at`. Strings
 * that follow one another share them, so that finding the end of one does not wait for the end of
 * the one before it to load anything. */
struct json_marks {
    const char *at;
    uint64_t bits;
};

/* The marks of the first block from p on that has any. A text's end is marked as well. `before` is
 * where an earlier block of 64 bytes is, NULL if there is none. */
struct json_marks json_marks_from(const char *p, const char *end, const char *before);

/* Past an escape, or a character beyond ASCII, at p; NULL if there is neither, or no good one. */
const char *json_special_end(const char *p, const char *end);

/* Past one UTF-8 sequence of two to four bytes; NULL if it is not well-formed. */
const char *json_utf8_end(const char *p, const char *end);

/* The first marked byte from p on; the end if there is none. A block of less than 64 bytes is the
 * text's last and has its end marked, so that only a whole one is ever gone on from. */
static inline const char *json_next_mark(struct json_marks *m, const char *p, const char *end)
{
    size_t offset = (uintptr_t)p - (uintptr_t)m->at;
    uint64_t bits = offset < 64 ? m->bits >> offset : 0;
    if (!bits) {
        *m = json_marks_from(offset < 64 ? m->at + 64 : p, end, m->at);
        p = m->at;
        bits = m->bits;
    }
    return p + __builtin_ctzll(bits);
}

/* Past the string of which p is behind the opening quote; NULL if it is none. */
static inline const char *json_string_end(struct json_marks *m, const char *p, const char *end,
                                          bool *escaped)
{
    *escaped = false;
    while (p && (p = json_next_mark(m, p, end)) < end) {
        if (*p == '"')
            return p + 1;
        *escaped = *escaped || *p == '\\';
        p = json_special_end(p, end);
    }
    return NULL;
}

#endif
