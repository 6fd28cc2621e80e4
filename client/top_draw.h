/* What `codex-pool top` shows. */
#ifndef CLIENT_TOP_DRAW_H
#define CLIENT_TOP_DRAW_H

#include "client/top_link.h"
#include "client/top_screen.h"
#include "client/top_spark.h"
#include "client/top_ui.h"

struct top_view {
    struct screen screen;
    struct top_ui ui;
    struct top_model model;
    const struct top_link *link;
    struct spark turns, waits;       /* turns that have ended; longest waits in ms */
    int64_t unanswered_ms;           /* the daemon has not answered for so long */
    size_t first_worker, first_wait; /* the first of the rows that are shown */
};

void top_draw(struct top_view *v);

#endif
