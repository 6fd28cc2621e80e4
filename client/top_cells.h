/* Text as cells of a screen. */
#ifndef CLIENT_TOP_CELLS_H
#define CLIENT_TOP_CELLS_H

#include "proto/base.h"

#include <wchar.h>

/* The longest text that is shown, in characters. */
#define CELLS_MAX 512

/* Which end goes where there is no room for all. */
enum cells_cut {
    CUT_END,
    CUT_START, /* of an id, whose end tells it from others */
};

/* The locale (LC_CTYPE) has characters beyond ASCII. */
bool cells_unicode(void);

/* Puts a UTF-8 text as wide characters, and a 0, into `to`, at most `width` cells of them, with an
 * ellipsis where something is cut. Whatever would do more than fill one or two cells (controls,
 * marks, broken bytes) or is not in the locale becomes "?". How many cells it fills. */
int cells_fit(const char *text, int width, enum cells_cut cut, wchar_t to[CELLS_MAX + 1]);

/* How many cells the whole fills. */
int cells_width(const char *text);

#endif
