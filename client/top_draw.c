#include "client/top_draw.h"

#include "client/fields.h"
#include "client/human.h"
#include "client/top_rows.h"

#include <stdio.h>

/* Longer than this the daemon need not be silent. */
#define SILENT_MS 3000
/* Bars that make a minute. */
#define RATE_BARS (60000 / SPARK_BAR_MS)

static const enum ink moods[] = {
    [MOOD_GOOD] = INK_GOOD, [MOOD_WARN] = INK_WARN, [MOOD_BAD] = INK_BAD};
/* Of a row, where what is well needs no colour. */
static const enum ink row_inks[] = {
    [MOOD_GOOD] = INK_PLAIN, [MOOD_WARN] = INK_WARN, [MOOD_BAD] = INK_BAD};

static void draw_headline(const struct top_view *v)
{
    char text[256] = "", right[64], duration[32];
    FILE *to = fmemopen(text, sizeof(text), "w");
    if (to) {
        headline_print(to, v->model.status);
        (void)fclose(to);
    }
    int used =
        screen_put(&v->screen, 0, 0, v->screen.width, text, moods[headline_mood(v->model.status)]);
    bool silent = v->unanswered_ms >= SILENT_MS;
    top_duration(duration, sizeof(duration),
                 silent ? (double)v->unanswered_ms : field_number(v->model.status, "uptimeMs", -1));
    (void)snprintf(right, sizeof(right), silent ? "no answer for %s" : "up %s", duration);
    int width = cells_width(right);
    if (silent || v->screen.width - used - 2 >= width)
        screen_put_in(&v->screen, 0, v->screen.width - width, width, PLACE_RIGHT, right,
                      silent ? INK_BAD : INK_DIM);
}

/* A name, bars, and the number that they end with. How many cells it fills. */
static int draw_spark(const struct top_view *v, int y, int x, const char *name,
                      const struct spark *spark, size_t bars, const char *number)
{
    int levels[SPARK_BARS];
    int at = x + screen_put(&v->screen, y, x, v->screen.width, name, INK_DIM) + 1;
    spark_levels(spark, bars, levels);
    screen_bars(&v->screen, y, at, levels, bars, INK_BOLD);
    at += (int)bars + 1;
    return at + screen_put(&v->screen, y, at, v->screen.width, number, INK_BOLD) - x;
}

#define TURNS_NAME "turns/s"
#define WAITS_NAME "longest wait"
#define NUMBER_WIDTH 8

static void draw_sparks(const struct top_view *v, int y)
{
    char number[32];
    size_t looked;
    const cJSON *queue = field(v->model.status, "queue");
    int room = v->screen.width - (int)strlen(TURNS_NAME WAITS_NAME) - 2 * NUMBER_WIDTH - 6;
    size_t bars = room < 2 ? 0 : (size_t)room / 2;
    bars = bars < SPARK_BARS ? bars : SPARK_BARS;
    double turns = spark_sum(&v->turns, RATE_BARS, &looked);
    (void)snprintf(number, sizeof(number), "%.2f",
                   looked ? turns / (double)looked / (SPARK_BAR_MS / 1e3) : 0);
    int used = draw_spark(v, y, 0, TURNS_NAME, &v->turns, bars, number);
    top_duration(number, sizeof(number), field_number(queue, "oldestWaitMs", 0));
    int second = (int)strlen(TURNS_NAME) + (int)bars + NUMBER_WIDTH + 4;
    (void)draw_spark(v, y, second > used ? second : used + 2, WAITS_NAME, &v->waits, bars, number);
}

struct table_view {
    const struct column *columns;
    size_t n_columns, count, *first;
    size_t selected; /* SIZE_MAX: none of these */
    int y, rows;
    int widths[LAYOUT_COLUMNS_MAX];
};

static void draw_row(const struct top_view *v, const struct table_view *t, int y,
                     const struct row *row, bool selected)
{
    enum ink ink = selected ? INK_SELECTED : row_inks[row->mood];
    if (selected)
        screen_fill(&v->screen, y, INK_SELECTED);
    for (size_t i = 0, x = 0; i < t->n_columns; i++) {
        const struct column *c = &t->columns[i];
        enum screen_place place = c->right      ? PLACE_RIGHT
                                  : c->keep_end ? PLACE_LEFT_END
                                                : PLACE_LEFT;
        if (!t->widths[i])
            continue;
        screen_put_in(&v->screen, y, (int)x, t->widths[i], place, row->cells[i], ink);
        x += (size_t)t->widths[i] + 1;
    }
}

/* The titles; at their right end which rows are shown, where that is not all. */
static void draw_titles(const struct top_view *v, const struct table_view *t)
{
    struct row row = {0};
    char range[64];
    for (size_t i = 0; i < t->n_columns; i++)
        (void)snprintf(row.cells[i], sizeof(row.cells[i]), "%s", t->columns[i].title);
    screen_fill(&v->screen, t->y, INK_TITLE);
    for (size_t i = 0, x = 0; i < t->n_columns; i++) {
        if (!t->widths[i])
            continue;
        screen_put_in(&v->screen, t->y, (int)x, t->widths[i],
                      t->columns[i].right ? PLACE_RIGHT : PLACE_LEFT, row.cells[i], INK_TITLE);
        x += (size_t)t->widths[i] + 1;
    }
    if (t->count <= (size_t)t->rows)
        return;
    (void)snprintf(range, sizeof(range), " %zu-%zu of %zu", *t->first + 1,
                   *t->first + (size_t)t->rows, t->count);
    int width = cells_width(range);
    screen_put_in(&v->screen, t->y, v->screen.width - width, width, PLACE_RIGHT, range, INK_TITLE);
}

/* `fill` writes row n of the list. */
static void draw_table(struct top_view *v, struct table_view *t,
                       void (*fill)(const struct top_model *m, size_t n, struct row *row))
{
    struct row row;
    int wanted[LAYOUT_COLUMNS_MAX] = {0};
    size_t rows = (size_t)t->rows;
    *t->first = layout_scroll(*t->first, t->selected, t->count, rows);
    for (size_t i = *t->first; i < t->count && i < *t->first + rows; i++) {
        fill(&v->model, i, &row);
        for (size_t c = 0; c < t->n_columns; c++) {
            int width = cells_width(row.cells[c]);
            wanted[c] = width > wanted[c] ? width : wanted[c];
        }
    }
    layout_columns(t->columns, t->n_columns, wanted, v->screen.width, t->widths);
    draw_titles(v, t);
    for (size_t i = *t->first; i < t->count && i < *t->first + rows; i++) {
        fill(&v->model, i, &row);
        draw_row(v, t, t->y + 1 + (int)(i - *t->first), &row, i == t->selected);
    }
}

static void fill_worker(const struct top_model *m, size_t n, struct row *row)
{
    top_worker_row(&m->workers[n], row);
}

static void fill_waiter(const struct top_model *m, size_t n, struct row *row)
{
    top_waiter_row(&m->waiters[n], row);
}

static void draw_workers(struct top_view *v, const struct layout_rows *rows)
{
    struct table_view t = {
        .columns = top_worker_columns,
        .n_columns = top_n_worker_columns,
        .count = v->model.n_workers,
        .first = &v->first_worker,
        .selected = ui_worker(&v->ui, &v->model) ? v->ui.selected : SIZE_MAX,
        .y = rows->workers,
        .rows = rows->worker_rows,
    };
    draw_table(v, &t, fill_worker);
}

static void draw_waiters(struct top_view *v, const struct layout_rows *rows)
{
    struct table_view t = {
        .columns = top_waiter_columns,
        .n_columns = top_n_waiter_columns,
        .count = v->model.n_waiters,
        .first = &v->first_wait,
        .selected = ui_waiter(&v->ui, &v->model) ? v->ui.selected - v->model.n_workers : SIZE_MAX,
        .y = rows->waiters,
        .rows = rows->waiter_rows,
    };
    if (t.count)
        draw_table(v, &t, fill_waiter);
    else
        (void)screen_put(&v->screen, t.y, 0, v->screen.width, "nobody waits", INK_DIM);
}

static void draw_details(const struct top_view *v, const struct layout_rows *rows)
{
    char text[CELLS_MAX];
    const struct top_worker *worker = ui_worker(&v->ui, &v->model);
    const struct top_waiter *waiter = ui_waiter(&v->ui, &v->model);
    if (worker)
        top_worker_details(worker, text, sizeof(text));
    else if (waiter)
        top_waiter_details(waiter, text, sizeof(text));
    if (worker || waiter)
        (void)screen_put_lines(&v->screen, rows->details, rows->detail_rows, text, INK_PLAIN);
}

static void draw_message(const struct top_view *v, int y)
{
    if (v->ui.mode == UI_CONFIRM) {
        int room = v->screen.width - 8;
        int used = screen_put(&v->screen, y, 0, room, v->ui.act.what, INK_WARN);
        used += screen_put(&v->screen, y, used, room - used, v->ui.act.how, INK_WARN);
        (void)screen_put(&v->screen, y, used, 7, "? (y/n)", INK_WARN);
    } else if (v->ui.message[0]) {
        (void)screen_put(&v->screen, y, 0, v->screen.width, v->ui.message,
                         moods[v->ui.message_mood]);
    }
}

static void draw_keys(const struct top_view *v, int y)
{
    char text[160];
    const char *pause = top_model_paused(&v->model) ? "resume" : "pause";
    (void)snprintf(text, sizeof(text),
                   "q quit  ? help  s sort: %s  i interrupt  k drop  r recycle  p %s",
                   top_sort_name(v->ui.sort), pause);
    if (cells_width(text) > v->screen.width)
        (void)snprintf(text, sizeof(text), "q quit  ? help  s sort  i k r p");
    (void)screen_put(&v->screen, y, 0, v->screen.width, text, INK_DIM);
}

static const char *const help[] = {
    "codex-pool top: any key goes back",
    "",
    "arrows     select a worker, or somebody who waits; also page up and down",
    "i          interrupt the turn on the selected worker",
    "k          drop the selected client, or the one that has the worker",
    "r          recycle: replace the selected worker, with no turn lost",
    "p          pause the pool (who has a worker goes on), or resume it",
    "s          sort the workers: worker, turn, silent, memory, client",
    "q, Ctrl-C  quit",
    "",
    "i, k, r and p are for administrators and ask first: y does it, any other key",
    "does not.",
    "",
    "TURN    how long its turn has run",
    "SILENT  since Codex last said something of it; LAST EVENT: what that was",
    "MEMORY  of all its processes, of which there are PROCS",
    "FOR     the worker that has the thread of a request, or any",
    "WHY     why it waits, be it beside idle workers",
    "turns/s of the last minute; a bar is ten seconds",
};

static void draw_help(const struct top_view *v)
{
    int y = 0;
    for (size_t i = 0; i < ARRAY_LEN(help) && y < v->screen.height; i++) {
        int used = screen_put_lines(&v->screen, y, v->screen.height - y, help[i],
                                    i ? INK_PLAIN : INK_BOLD);
        y += used ? used : 1;
    }
}

static void draw_absence(const struct top_view *v)
{
    char text[CELLS_MAX];
    bool connected = v->link->fd >= 0;
    (void)screen_put(&v->screen, 0, 0, v->screen.width,
                     connected ? "waiting for the daemon's answer" : "no daemon, trying again",
                     connected ? INK_WARN : INK_BAD);
    (void)snprintf(text, sizeof(text), "%s%s%s", v->link->path, connected ? "" : ": ",
                   connected ? "" : v->link->why);
    (void)screen_put_lines(&v->screen, 1, v->screen.height - 3, text, INK_DIM);
}

void top_draw(struct top_view *v)
{
    struct layout_rows rows;
    layout_rows(v->screen.height, v->model.n_workers, v->model.n_waiters, &rows);
    screen_begin();
    if (v->ui.mode == UI_HELP) {
        draw_help(v);
        screen_end();
        return;
    }
    if (!v->model.status) {
        draw_absence(v);
    } else {
        draw_headline(v);
        if (rows.sparks >= 0)
            draw_sparks(v, rows.sparks);
        if (rows.workers >= 0)
            draw_workers(v, &rows);
        if (rows.waiters >= 0)
            draw_waiters(v, &rows);
        if (rows.details >= 0)
            draw_details(v, &rows);
    }
    if (rows.message >= 0)
        draw_message(v, rows.message);
    if (rows.keys >= 0)
        draw_keys(v, rows.keys);
    screen_end();
}
