#include "tests/fuzz/reference.h"

#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <regex.h>

/* What cJSON takes in one go for a number (the size of its buffer less one). */
#define CJSON_NUMBER_MAX 63

cJSON *reference_parse(struct slice text)
{
    _cleanup_free_ char *copy = slice_dup(text);
    const char *end = NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts(copy, text.n + 1, &end, true);
    /* A zero byte inside would count as the end. */
    if (tree && end != copy + text.n) {
        cJSON_Delete(tree);
        return NULL;
    }
    return tree;
}

bool reference_same(struct slice text, const cJSON *tree)
{
    cJSON *other = reference_parse(text);
    if (!other || !tree) {
        cJSON_Delete(other);
        return reference_long_number(text) || (!other && !tree);
    }
    _cleanup_free_ char *a = cJSON_PrintUnformatted(other);
    _cleanup_free_ char *b = cJSON_PrintUnformatted(tree);
    cJSON_Delete(other);
    return a && b && strcmp(a, b) == 0;
}

static size_t number_length(struct slice text, size_t at)
{
    size_t n = 0;
    while (at + n < text.n && text.p[at + n] && strchr("0123456789+-.eE", text.p[at + n]))
        n++;
    return n;
}

static bool is_number(struct slice text)
{
    static regex_t grammar;
    static bool compiled;
    _cleanup_free_ char *copy = slice_dup(text);
    if (!compiled)
        MUST(regcomp(&grammar, "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?$",
                     REG_EXTENDED | REG_NOSUB) == 0,
             "the grammar");
    compiled = true;
    return regexec(&grammar, copy, 0, NULL, 0) == 0;
}

/* The length of the UTF-8 sequence at p; 0: it is none. Decodes it and asks whether this is the way
 * to write that character. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000, 0x110000};
    size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC0 || p[0] >= 0xF8 || n < length)
        return 0;
    uint32_t character = p[0] & (0xFFU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        character = character << 6 | (p[i] & 0x3FU);
    }
    bool surrogate = character >= 0xD800 && character <= 0xDFFF;
    return character < first[length] || character >= first[5] || surrogate ? 0 : length;
}

/* From behind the opening quote to behind the closing one. */
static const char *string_laxness(struct slice text, size_t *at)
{
    while (*at < text.n && text.p[*at] != '"') {
        const unsigned char *p = (const unsigned char *)text.p + *at;
        size_t left = text.n - *at, length = 1;
        if (*p < 0x20)
            return "a control character in a string";
        if (*p >= 0x80 && !(length = utf8_length(p, left)))
            return "bytes that are no UTF-8";
        if (*p == '\\' && left > 1 && p[1] == 'u') {
            for (size_t i = 2; i < 6; i++)
                if (i >= left || !isxdigit(p[i]))
                    return "\\u without four digits";
            length = 6;
        } else if (*p == '\\') {
            length = 2;
        }
        *at += length;
    }
    ++*at;
    return NULL;
}

const char *reference_laxness(struct slice text)
{
    unsigned depth = 0, deepest = 0;
    const char *lax = NULL;
    for (size_t at = 0; at < text.n && !lax;) {
        char ch = text.p[at];
        size_t length = 1;
        if (ch == '"') {
            at++;
            lax = string_laxness(text, &at);
            continue;
        }
        if (ch == '-' || (ch >= '0' && ch <= '9')) {
            length = number_length(text, at);
            lax = is_number((struct slice){text.p + at, length}) ? NULL : "a lax number";
        } else if ((unsigned char)ch >= 0x80) {
            lax = "a byte order mark";
        } else if ((unsigned char)ch <= 0x20 && !(ch && strchr(" \t\n\r", ch))) {
            lax = "other white space";
        } else if (ch == '{' || ch == '[') {
            deepest = ++depth > deepest ? depth : deepest;
        } else if (ch == '}' || ch == ']') {
            depth--;
        }
        at += length;
    }
    return lax ? lax : deepest > JSON_MAX_DEPTH ? "deeper" : NULL;
}

bool reference_long_number(struct slice text)
{
    bool in_string = false;
    for (size_t at = 0; at < text.n; at++) {
        if (text.p[at] == '"')
            in_string = !in_string;
        else if (in_string && text.p[at] == '\\')
            at++;
        else if (!in_string && number_length(text, at) > CJSON_NUMBER_MAX)
            return true;
    }
    return false;
}
