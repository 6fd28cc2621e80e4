#include "proto/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static void fail(struct json_cursor *c)
{
    c->bad = true;
    c->p = c->end;
}

static bool at(const struct json_cursor *c, char ch)
{
    return c->p < c->end && *c->p == ch;
}

static inline void space(struct json_cursor *c)
{
    /* Between Codex's tokens there is none. */
    while (c->p < c->end && (unsigned char)*c->p <= ' ' &&
           (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

void json_space(struct json_cursor *c)
{
    space(c);
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F')
        return ch - 'A' + 10;
    return -1;
}

/* The four digits after "\u"; -1 if they are not. */
static int hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Past an escape whose backslash is at p; NULL if it is none. A lone surrogate is none. */
static const char *skip_escape(const char *p, const char *end)
{
    if (end - p < 2)
        return NULL;
    if (p[1] != 'u')
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? p + 2 : NULL;
    int unit = hex4(p + 2, end);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return NULL;
    if (unit < 0xD800 || unit > 0xDBFF)
        return p + 6;
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return NULL;
    int low = hex4(p + 8, end);
    return low >= 0xDC00 && low <= 0xDFFF ? p + 12 : NULL;
}

/* Past one UTF-8 sequence of two to four bytes; NULL if it is not well-formed (Unicode 3.9 D92). */
static const char *skip_utf8(const char *p, const char *end)
{
    unsigned char lead = (unsigned char)p[0];
    unsigned char low = 0x80, high = 0xBF;
    int more;
    if (lead >= 0xC2 && lead <= 0xDF) {
        more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        more = 2;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        more = 3;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    } else {
        return NULL;
    }
    if (end - p <= more)
        return NULL;
    for (int i = 1; i <= more; i++) {
        unsigned char byte = (unsigned char)p[i];
        if (byte < low || byte > high)
            return NULL;
        low = 0x80;
        high = 0xBF;
    }
    return p + 1 + more;
}

/* ASCII that stands for itself in a string. */
static bool is_plain(char ch)
{
    return ch >= 0x20 && ch != '"' && ch != '\\';
}

/* Past all that is plain. */
static const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* As signed bytes, those from 0x80 on are less than a space, too. */
        __m128i special = _mm_or_si128(
            _mm_cmplt_epi8(bytes, space),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
        int mask = _mm_movemask_epi8(special);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && is_plain(*p))
        p++;
    return p;
}

/* Past a string; the cursor is at its opening quote. */
static void skip_string(struct json_cursor *c)
{
    const char *p = c->p + 1;
    c->escaped = false;
    while (p && (p = skip_plain(p, c->end)) < c->end) {
        unsigned char ch = (unsigned char)*p;
        if (ch == '"') {
            c->p = p + 1;
            return;
        }
        c->escaped = c->escaped || ch == '\\';
        p = ch == '\\' ? skip_escape(p, c->end) : ch >= 0x80 ? skip_utf8(p, c->end) : NULL;
    }
    fail(c);
}

static bool skip_digits(struct json_cursor *c)
{
    const char *start = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return c->p > start;
}

static void skip_number(struct json_cursor *c)
{
    if (at(c, '-'))
        c->p++;
    if (at(c, '0'))
        c->p++;
    else if (!skip_digits(c)) {
        fail(c);
        return;
    }
    if (at(c, '.')) {
        c->p++;
        if (!skip_digits(c)) {
            fail(c);
            return;
        }
    }
    if (at(c, 'e') || at(c, 'E')) {
        c->p++;
        if (at(c, '+') || at(c, '-'))
            c->p++;
        if (!skip_digits(c))
            fail(c);
    }
}

static void skip_word(struct json_cursor *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        fail(c);
    else
        c->p += n;
}

static void skip_scalar(struct json_cursor *c)
{
    if (c->p >= c->end) {
        fail(c);
        return;
    }
    switch (*c->p) {
    case '"':
        skip_string(c);
        break;
    case 't':
        skip_word(c, "true");
        break;
    case 'f':
        skip_word(c, "false");
        break;
    case 'n':
        skip_word(c, "null");
        break;
    default:
        skip_number(c);
    }
}

static void skip_key(struct json_cursor *c)
{
    space(c);
    if (!at(c, '"')) {
        fail(c);
        return;
    }
    skip_string(c);
    space(c);
    if (!at(c, ':'))
        fail(c);
    else
        c->p++;
}

/* Past the value at the cursor, with the kinds of the open containers in a bit set, so that depth
 * costs no stack. */
static void skip_value(struct json_cursor *c, unsigned depth)
{
    uint64_t is_object[JSON_MAX_DEPTH / 64] = {0};
    unsigned base = depth;
    do {
        space(c);
        if (at(c, '{') || at(c, '[')) {
            bool object = *c->p == '{';
            if (depth >= JSON_MAX_DEPTH) {
                fail(c);
                return;
            }
            uint64_t bit = UINT64_C(1) << (depth % 64);
            is_object[depth / 64] = (is_object[depth / 64] & ~bit) | (object ? bit : 0);
            depth++;
            c->p++;
            space(c);
            if (!at(c, object ? '}' : ']')) {
                if (object)
                    skip_key(c);
                continue;
            }
        } else {
            skip_scalar(c);
        }
        /* A value has ended here, or an empty container is about to: close what closes. */
        while (!c->bad && depth > base) {
            bool object = is_object[(depth - 1) / 64] >> ((depth - 1) % 64) & 1;
            space(c);
            if (at(c, object ? '}' : ']')) {
                c->p++;
                depth--;
                continue;
            }
            if (!at(c, ',')) {
                fail(c);
                return;
            }
            c->p++;
            if (object)
                skip_key(c);
            break;
        }
    } while (!c->bad && depth > base);
}

struct slice json_skip(struct json_cursor *c, unsigned depth)
{
    space(c);
    const char *start = c->p;
    if (at(c, '{') || at(c, '['))
        skip_value(c, depth);
    else
        skip_scalar(c);
    return c->bad ? SLICE_NULL : (struct slice){start, (size_t)(c->p - start)};
}

bool json_enter_object(struct json_cursor *c)
{
    space(c);
    if (!at(c, '{'))
        return false;
    c->p++;
    return true;
}

bool json_member(struct json_cursor *c, bool *first, struct slice *key)
{
    space(c);
    if (at(c, '}')) {
        c->p++;
        return false;
    }
    if (!*first) {
        if (!at(c, ',')) {
            fail(c);
            return false;
        }
        c->p++;
        space(c);
    }
    *first = false;
    const char *start = c->p + 1;
    if (!at(c, '"')) {
        fail(c);
        return false;
    }
    skip_string(c);
    if (c->bad)
        return false;
    *key = (struct slice){start, (size_t)(c->p - 1 - start)};
    space(c);
    if (!at(c, ':')) {
        fail(c);
        return false;
    }
    c->p++;
    space(c);
    return true;
}

bool json_valid(struct slice text)
{
    if (!text.n)
        return false;
    struct json_cursor c = {.p = text.p, .end = text.p + text.n};
    (void)json_skip(&c, 0);
    space(&c);
    return !c.bad && c.p == c.end;
}

static struct slice get_member(struct slice object, struct slice name)
{
    struct json_cursor c = {.p = object.p, .end = object.p + object.n};
    struct slice key;
    bool first = true;
    if (!object.n || !json_enter_object(&c))
        return SLICE_NULL;
    while (json_member(&c, &first, &key)) {
        struct slice value = json_skip(&c, 0);
        if (slice_eq(key, name))
            return value;
    }
    return SLICE_NULL;
}

struct slice json_get(struct slice object, const char *path)
{
    while (*path && object.n) {
        size_t n = strcspn(path, ".");
        object = get_member(object, (struct slice){path, n});
        path += n + (path[n] == '.');
    }
    return object;
}

struct slice json_text(struct slice value)
{
    if (value.n < 2 || value.p[0] != '"')
        return SLICE_NULL;
    return (struct slice){value.p + 1, value.n - 2};
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
    space(&c);
    if (!at(&c, '['))
        return;
    c.p++;
    space(&c);
    while (!c.bad && c.p < c.end && !at(&c, ']')) {
        struct slice element = json_skip(&c, 0);
        if (c.bad)
            return;
        each(element, arg);
        space(&c);
        if (at(&c, ','))
            c.p++;
        space(&c);
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
        p = (unsigned char)*p < 0x80 ? p + 1 : skip_utf8(p, end);
    return p != NULL;
}

void json_clean_text(char *text)
{
    char *end = text + strlen(text);
    while (text < end) {
        const char *next = (unsigned char)*text < 0x80 ? text + 1 : skip_utf8(text, end);
        if (!next)
            *text = '?';
        text += next ? next - text : 1;
    }
}
