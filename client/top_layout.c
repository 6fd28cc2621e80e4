#include "client/top_layout.h"

static int clamp(int n, int least, int most)
{
    return n < least ? least : n > most ? most : n;
}

/* With a cell between two. */
static int total(const int *widths, size_t n)
{
    int sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += widths[i] ? widths[i] + (sum > 0) : 0;
    return sum;
}

/* The one worth least; of equal ones the last. n where none is left. */
static size_t least_worth(const struct column *columns, size_t n, const int *widths)
{
    size_t found = n;
    for (size_t i = 0; i < n; i++)
        if (widths[i] && (found == n || columns[i].worth <= columns[found].worth))
            found = i;
    return found;
}

/* The one worth most of those that are there and could be wider; n where none could. */
static size_t worth_widening(const struct column *columns, size_t n, const int *widths,
                             const int *most)
{
    size_t found = n;
    for (size_t i = 0; i < n; i++)
        if (widths[i] && widths[i] < most[i] &&
            (found == n || columns[i].worth > columns[found].worth))
            found = i;
    return found;
}

void layout_columns(const struct column *columns, size_t n, const int *wanted, int width,
                    int *widths)
{
    int most[LAYOUT_COLUMNS_MAX];
    for (size_t i = 0; i < n; i++) {
        int title = (int)strlen(columns[i].title);
        most[i] = clamp(wanted[i] > title ? wanted[i] : title, columns[i].least, columns[i].most);
        widths[i] = columns[i].least;
    }
    while (total(widths, n) > width) {
        size_t last = least_worth(columns, n, widths);
        if (last == n)
            return;
        widths[last] = 0;
    }
    int left = width - total(widths, n);
    for (size_t i; left > 0 && (i = worth_widening(columns, n, widths, most)) < n;) {
        int by = most[i] - widths[i] < left ? most[i] - widths[i] : left;
        widths[i] += by;
        left -= by;
    }
}

/* How tall a screen must be for what is not needed everywhere. */
#define TALL_SPARKS 12
#define TALL_GAPS 18
#define TALL_DETAILS 14
#define TALL_MORE_DETAILS 20

/* Both where there is room; else each has half of it, and what the other does not need. */
static void share(int room, size_t workers, size_t waiters, struct layout_rows *rows)
{
    int a = workers < 10000 ? (int)workers : 10000, b = waiters < 10000 ? (int)waiters : 10000;
    room = room < 0 ? 0 : room;
    if (a + b > room) {
        int half = (room + 1) / 2;
        if (a <= half)
            b = room - a;
        else if (b <= room - half)
            a = room - b;
        else
            a = half, b = room - half;
    }
    rows->worker_rows = a;
    rows->waiter_rows = b;
}

void layout_rows(int height, size_t workers, size_t waiters, struct layout_rows *rows)
{
    int at = 1, end = height;
    *rows = (struct layout_rows){-1, -1, 0, -1, 0, -1, 0, -1, -1};
    if (height >= 5)
        rows->keys = --end;
    if (height >= 3)
        rows->message = --end;
    if (height >= TALL_DETAILS) {
        rows->detail_rows = height >= TALL_MORE_DETAILS ? 3 : 1;
        end -= rows->detail_rows;
        rows->details = end;
    }
    if (height >= TALL_SPARKS)
        rows->sparks = at++;
    int gap = height >= TALL_GAPS;
    at += gap;
    end -= gap;
    if (end - at < 2)
        return;
    rows->workers = at++;
    bool queue = end - at >= 2;
    share(end - at - (queue ? 1 + gap : 0), workers, queue ? waiters : 0, rows);
    if (queue)
        rows->waiters = at + rows->worker_rows + gap;
}

size_t layout_scroll(size_t first, size_t selected, size_t count, size_t rows)
{
    size_t last = count > rows ? count - rows : 0;
    if (selected < count && rows) {
        if (selected < first)
            first = selected;
        if (selected >= first + rows)
            first = selected - rows + 1;
    }
    return first < last ? first : last;
}
