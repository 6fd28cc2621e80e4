#include "client/top_cells.h"

#include "client/text.h"

#include <langinfo.h>

bool cells_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* The next character, as it may be shown. */
static wchar_t next(const char **p, const char *end)
{
    unsigned code;
    *p += text_decode(*p, (size_t)(end - *p), &code);
    if (code < 0x80)
        return code >= 0x20 && code != 0x7F ? (wchar_t)code : L'?';
    return cells_unicode() && wcwidth((wchar_t)code) > 0 ? (wchar_t)code : L'?';
}

static int cells_of(wchar_t ch)
{
    int n = ch < 0x80 ? 1 : wcwidth(ch);
    return n < 1 ? 1 : n;
}

int cells_width(const char *text)
{
    const char *end = text + strlen(text);
    int width = 0;
    for (int n = 0; text < end && n < CELLS_MAX; n++)
        width += cells_of(next(&text, end));
    return width;
}

/* Characters from `from` on as long as they fit; *filled is how many cells they fill. */
static size_t take(const wchar_t *from, size_t n, int width, int *filled)
{
    size_t taken = 0;
    *filled = 0;
    while (taken < n && *filled + cells_of(from[taken]) <= width)
        *filled += cells_of(from[taken++]);
    return taken;
}

static size_t take_last(const wchar_t *from, size_t n, int width, int *filled)
{
    size_t taken = 0;
    *filled = 0;
    while (taken < n && *filled + cells_of(from[n - taken - 1]) <= width)
        *filled += cells_of(from[n - ++taken]);
    return taken;
}

int cells_fit(const char *text, int width, enum cells_cut cut, wchar_t to[CELLS_MAX + 1])
{
    wchar_t all[CELLS_MAX];
    const char *end = text + strlen(text);
    const wchar_t ellipsis = cells_unicode() ? L'…' : L'~';
    size_t n = 0, taken;
    int filled;
    while (text < end && n < CELLS_MAX)
        all[n++] = next(&text, end);
    taken = take(all, n, width, &filled);
    if (width <= 0 || taken == n) {
        taken = width > 0 ? taken : 0;
        wmemcpy(to, all, taken);
        to[taken] = L'\0';
        return width > 0 ? filled : 0;
    }
    if (cut == CUT_END) {
        taken = take(all, n, width - 1, &filled);
        wmemcpy(to, all, taken);
        to[taken] = ellipsis;
    } else {
        taken = take_last(all, n, width - 1, &filled);
        to[0] = ellipsis;
        wmemcpy(to + 1, all + n - taken, taken);
    }
    to[taken + 1] = L'\0';
    return filled + 1;
}
