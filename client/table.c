#include "client/table.h"

#include <assert.h>
#include <stdarg.h>

void table_init(struct table *t, const char *const *titles, size_t columns, unsigned right)
{
    *t = (struct table){.columns = columns, .titles = titles, .right = right};
}

void table_deinit(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

void table_cell(struct table *t, char *text)
{
    if (text && t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **cells = realloc(t->cells, cap * sizeof(*cells));
        if (cells) {
            t->cells = cells;
            t->cap = cap;
        }
    }
    if (!text || t->count == t->cap) {
        free(text);
        t->failed = true;
        return;
    }
    t->cells[t->count++] = text;
}

void table_printf(struct table *t, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    table_cell(t, text);
}

/* Columns on the screen, near enough: characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void print_cell(const struct table *t, FILE *to, size_t column, const char *text,
                       size_t width)
{
    int pad = (int)(width - width_of(text));
    bool right = t->right >> column & 1;
    bool last = column + 1 == t->columns;
    fprintf(to, "%*s%s%*s", right ? pad : 0, "", text, right || last ? 0 : pad, "");
    if (!last)
        fputs("  ", to);
}

void table_print(const struct table *t, FILE *to, const char *title_style, const char *style_end)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    assert(t->columns > 0);
    if (t->failed)
        return;
    for (size_t i = 0; i < t->columns; i++)
        widths[i] = width_of(t->titles[i]);
    for (size_t i = 0; i < t->count; i++)
        if (width_of(t->cells[i]) > widths[i % t->columns])
            widths[i % t->columns] = width_of(t->cells[i]);
    fputs(title_style, to);
    for (size_t i = 0; i < t->columns; i++)
        print_cell(t, to, i, t->titles[i], widths[i]);
    fprintf(to, "%s\n", style_end);
    for (size_t i = 0; i < t->count; i++) {
        print_cell(t, to, i % t->columns, t->cells[i], widths[i % t->columns]);
        if (i % t->columns + 1 == t->columns)
            fputc('\n', to);
    }
}
