/* The terminal, as far as `codex-pool top` uses it. Only this file's .c knows ncurses. */
#ifndef CLIENT_TOP_SCREEN_H
#define CLIENT_TOP_SCREEN_H

#include "client/top_cells.h"

enum ink {
    INK_PLAIN,
    INK_DIM,
    INK_BOLD,
    INK_GOOD,
    INK_WARN,
    INK_BAD,
    INK_TITLE,    /* of columns, over the whole line */
    INK_SELECTED, /* the row that keys are about */
};

struct screen {
    void *terminal; /* ncurses' */
    bool colour;
    int height, width;
};

/* Takes the terminal of standard input and output; false where it is none that can be used. What
 * was on it is there again after screen_close. */
bool screen_open(struct screen *s, bool colour) CP_MUSTCHECK;
void screen_close(struct screen *s);

/* The terminal may have another size. */
void screen_resized(struct screen *s);

/* Gives the terminal back while the process is stopped (Ctrl-Z), until it is continued. */
void screen_stop(struct screen *s);

/* The next key that was pressed, as top_ui.h has it; -1: none. */
int screen_key(void);

/* Everything between these two appears at once. */
void screen_begin(void);
void screen_end(void);

/* Text at a place, cut to `width` cells and to the screen. How many cells it fills. */
int screen_put(const struct screen *s, int y, int x, int width, const char *text, enum ink ink);

enum screen_place {
    PLACE_LEFT,
    PLACE_RIGHT,
    PLACE_LEFT_END, /* at the left; what is cut is its start */
};

/* The same in a column of so many cells. */
void screen_put_in(const struct screen *s, int y, int x, int width, enum screen_place place,
                   const char *text, enum ink ink);

/* Text over at most so many lines of the whole width, broken between words. How many it fills. */
int screen_put_lines(const struct screen *s, int y, int lines, const char *text, enum ink ink);

/* The whole line in this ink, empty. */
void screen_fill(const struct screen *s, int y, enum ink ink);

/* A bar each, of -1 (none) to 7. */
void screen_bars(const struct screen *s, int y, int x, const int *levels, size_t n, enum ink ink);

#endif
