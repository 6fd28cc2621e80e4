/* Whether the terminal can do what a screen needs. */
#ifndef CLIENT_TOP_TERMINAL_H
#define CLIENT_TOP_TERMINAL_H

#include <stdbool.h>

/* $TERM is known, and its cursor can be put anywhere. Asked first, since ncurses leaks memory where
 * it finds out by itself. */
bool terminal_fits(void);

#endif
