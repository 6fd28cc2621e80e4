/* The table of workers and the queue, as cells. */
#ifndef CLIENT_TOP_ROWS_H
#define CLIENT_TOP_ROWS_H

#include "client/top_layout.h"
#include "client/top_model.h"

#define ROW_CELL_MAX 200

struct row {
    char cells[LAYOUT_COLUMNS_MAX][ROW_CELL_MAX];
    enum mood mood;
};

extern const struct column top_worker_columns[], top_waiter_columns[];
extern const size_t top_n_worker_columns, top_n_waiter_columns;

void top_worker_row(const struct top_worker *w, struct row *row);
void top_waiter_row(const struct top_waiter *w, struct row *row);

/* All that is known of one, in a sentence or two. */
void top_worker_details(const struct top_worker *w, char *to, size_t n);
void top_waiter_details(const struct top_waiter *w, char *to, size_t n);

/* A duration as human_duration writes it; "-" where it is not known. */
void top_duration(char *to, size_t n, double ms);

#endif
