/* What has room on the screen: columns side by side, blocks of rows below each other. */
#ifndef CLIENT_TOP_LAYOUT_H
#define CLIENT_TOP_LAYOUT_H

#include "proto/base.h"

#define LAYOUT_COLUMNS_MAX 12

struct column {
    const char *title;
    int least, most; /* cells */
    int worth;       /* where there is no room for all, the one with the least goes first, and the
                      * one with the most is widened first */
    bool right;      /* a number */
    bool keep_end;   /* what is cut is its start */
};

/* How wide each of n columns is: as its content wants (`wanted`; its title is counted, too), or
 * less; 0 for those that are left out. One cell is between two. */
void layout_columns(const struct column *columns, size_t n, const int *wanted, int width,
                    int *widths);

/* Lines of the screen; -1 for what is left out. */
struct layout_rows {
    int sparks;
    int workers, worker_rows; /* the line of the titles, and how many rows are below it */
    int waiters, waiter_rows;
    int details, detail_rows;
    int message, keys;
};

void layout_rows(int height, size_t workers, size_t waiters, struct layout_rows *rows);

/* The first row to be shown of a list, so that the selected one (SIZE_MAX: none) is among `rows`;
 * `first` is what it was. */
size_t layout_scroll(size_t first, size_t selected, size_t count, size_t rows);

#endif
