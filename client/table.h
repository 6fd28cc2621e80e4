/* Aligned columns. */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include "proto/base.h"

#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

struct table {
    size_t columns, count, cap;
    char **cells; /* count of them, row after row */
    const char *const *titles;
    unsigned right; /* bit n: column n is a number and aligned to the right */
    bool failed;    /* memory ran out: prints nothing */
};

void table_init(struct table *t, const char *const *titles, size_t columns, unsigned right);
void table_deinit(struct table *t);

/* The next cell of a row; takes over a heap string (NULL: out of memory). */
void table_cell(struct table *t, char *text);
void table_printf(struct table *t, const char *format, ...) CP_PRINTF(2, 3);

/* Titles and rows; `title_style` and `style_end` go around the titles (may be ""). */
void table_print(const struct table *t, FILE *to, const char *title_style, const char *style_end);

#endif
