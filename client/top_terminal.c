#include "client/top_terminal.h"

#include <unistd.h>

/* After everything else: terminfo's names are macros of everyday words. */
#include <curses.h>
#include <term.h>

bool terminal_fits(void)
{
    int error;
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
        return false;
    bool fits = cursor_address && clear_screen;
    (void)del_curterm(cur_term);
    return fits;
}
