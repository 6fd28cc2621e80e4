#include "client/text.h"

static unsigned hex4(const char *p)
{
    char digits[5] = {p[0], p[1], p[2], p[3], '\0'};
    return (unsigned)strtoul(digits, NULL, 16);
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

/* The character of the escape at *p, which is moved past it. */
static unsigned read_escape(const char **p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *e = *p + 1;
    if (*e != 'u') {
        *p = e + 1;
        return (unsigned char)to[strchr(from, *e) - from];
    }
    unsigned code = hex4(e + 1);
    *p = e + 5;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(e + 7) - 0xDC00);
        *p = e + 11;
    }
    return code;
}

char *text_unescape(struct slice raw, size_t *n)
{
    /* No escape is shorter than what it stands for. */
    char *text = malloc(raw.n + 1), *to = text;
    const char *p = raw.p, *end = raw.n ? raw.p + raw.n : raw.p;
    if (!text)
        return NULL;
    while (p < end) {
        if (*p == '\\')
            to = put_utf8(to, read_escape(&p));
        else
            *to++ = *p++;
    }
    *to = '\0';
    *n = (size_t)(to - text);
    return text;
}

char *text_quote(struct slice bytes)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return NULL;
    putc('"', to);
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char ch = (unsigned char)bytes.p[i];
        if (ch == '"' || ch == '\\')
            fprintf(to, "\\%c", ch);
        else if (ch < 0x20 || ch == 0x7F)
            fprintf(to, "\\u%04x", ch);
        else
            putc(ch, to);
    }
    putc('"', to);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

size_t text_decode(const char *p, size_t left, unsigned *code)
{
    unsigned char lead = (unsigned char)p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    *code = 0xFFFD;
    if (n == 0 || n > left)
        return 1;
    unsigned value = n == 1 ? lead : lead & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)p[i] & 0xC0) != 0x80)
            return 1;
        value = value << 6 | ((unsigned char)p[i] & 0x3F);
    }
    *code = value;
    return n;
}

static bool is_control(unsigned code)
{
    return code < 0x20 || (code >= 0x7F && code <= 0x9F);
}

/* Invisible and direction marks: what is read would not be what is run. */
static bool is_deceptive(unsigned code)
{
    return (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2060 && code <= 0x2069) || code == 0xFEFF;
}

/* `indent` NULL is for prose: tabs and marks stay. */
static void show(FILE *to, struct slice bytes, const char *indent)
{
    for (size_t i = 0; i < bytes.n;) {
        unsigned code;
        size_t n = text_decode(bytes.p + i, bytes.n - i, &code);
        bool broken = n == 1 && code == 0xFFFD;
        if (code == '\n')
            fprintf(to, "\n%s", indent ? indent : "");
        else if (code == '\t' && !indent)
            putc('\t', to);
        else if (broken || (is_control(code) && n == 1))
            fprintf(to, "\\x%02x", (unsigned char)bytes.p[i]);
        else if (is_control(code) || (indent && is_deceptive(code)))
            fprintf(to, "\\u%04x", code);
        else
            fwrite(bytes.p + i, 1, n, to);
        i += n;
    }
}

void text_show(FILE *to, struct slice bytes, const char *indent)
{
    show(to, bytes, indent ? indent : "");
}

void text_show_raw(FILE *to, struct slice raw, const char *indent)
{
    size_t n;
    _cleanup_free_ char *text = text_unescape(raw, &n);
    if (text)
        text_show(to, (struct slice){text, n}, indent);
}

char *text_for_terminal(struct slice bytes, size_t *n)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, n);
    if (!to)
        return NULL;
    show(to, bytes, NULL);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Past the string whose opening quote is at p. */
static const char *past_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

static void new_line(FILE *to, unsigned depth)
{
    fprintf(to, "\n%*s", (int)depth * 2, "");
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

void text_pretty(FILE *to, struct slice json)
{
    const char *p = json.p, *end = json.p + json.n;
    unsigned depth = 0;
    while (p < end) {
        const char *start = p;
        if (*p == '"') {
            p = past_string(p, end);
            fwrite(start, 1, (size_t)(p - start), to);
            continue;
        }
        p++;
        if (is_space(*start))
            continue;
        if (*start == '{' || *start == '[') {
            while (p < end && is_space(*p))
                p++;
            putc(*start, to);
            if (p < end && (*p == '}' || *p == ']'))
                putc(*p++, to);
            else
                new_line(to, ++depth);
        } else if (*start == '}' || *start == ']') {
            new_line(to, --depth);
            putc(*start, to);
        } else {
            putc(*start, to);
            if (*start == ',')
                new_line(to, depth);
            else if (*start == ':')
                putc(' ', to);
        }
    }
    putc('\n', to);
}
