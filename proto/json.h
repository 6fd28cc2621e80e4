/* JSON text looked at in place: checked in one pass, members found without a tree or a copy. */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "proto/json_string.h"

/* Deeper text is refused; Codex itself stops at 128. */
#define JSON_MAX_DEPTH 128

/* A place in a text, which stays as it is meanwhile. `bad` once the text turned out not to be JSON;
 * then nothing moves any more. */
struct json_cursor {
    const char *p, *end;
    bool bad;
    bool escaped;            /* the string that was passed last has an escape sequence */
    struct json_marks marks; /* of this text, from somewhere before p on; none at first */
};

/* Moves past one whole value and returns it, white space around it not included. Checks syntax,
 * UTF-8, escapes and depth (`depth` containers are already open). */
struct slice json_skip(struct json_cursor *c, unsigned depth);

/* Walks an object: json_enter_object moves past the "{" (false: it is no object); then json_member
 * gives each key (raw, without quotes) with the cursor at its value, which the caller must move
 * past, until it returns false at the "}" or with c->bad. *first must start true. */
bool json_enter_object(struct json_cursor *c);
bool json_member(struct json_cursor *c, bool *first, struct slice *key);

/* True if the whole text is one JSON value. */
bool json_valid(struct slice text);

/* The raw value of a member of a valid object text; path members are separated by dots
 * ("turn.id"). SLICE_NULL where it is not there. The first of equal keys counts. */
struct slice json_get(struct slice object, const char *path);

/* What is between the quotes of a string's text, raw; SLICE_NULL for any other value. */
static inline struct slice json_text(struct slice value)
{
    if (value.n < 2 || value.p[0] != '"')
        return SLICE_NULL;
    return (struct slice){value.p + 1, value.n - 2};
}

/* json_get and json_text in one. */
struct slice json_get_text(struct slice object, const char *path);

/* Calls `each` for every element of a valid array's text. */
void json_each(struct slice array, void (*each)(struct slice element, void *arg), void *arg);

/* Makes a text of unknown origin fit for a JSON string: each byte that is not part of well-formed
 * UTF-8 becomes a "?". Other bytes stay as they are. */
void json_clean_text(char *text);

/* True if the bytes are well-formed UTF-8. */
bool json_is_utf8(struct slice text);

/* Elements of a valid array's text; 0 for any other value. */
size_t json_count(struct slice array);

#endif
