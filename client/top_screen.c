#include "client/top_screen.h"

#include "client/top_terminal.h"
#include "client/top_ui.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* A lone Escape is not waited for longer. */
#define ESCAPE_MS 25

enum { PAIR_GOOD = 1, PAIR_WARN, PAIR_BAD, PAIR_TITLE };

static void start_colours(struct screen *s)
{
    s->colour = s->colour && has_colors() && start_color() == OK && use_default_colors() == OK &&
                init_pair(PAIR_GOOD, COLOR_GREEN, -1) == OK &&
                init_pair(PAIR_WARN, COLOR_YELLOW, -1) == OK &&
                init_pair(PAIR_BAD, COLOR_RED, -1) == OK &&
                init_pair(PAIR_TITLE, COLOR_CYAN, -1) == OK;
}

bool screen_open(struct screen *s, bool colour)
{
    *s = (struct screen){.colour = colour};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !terminal_fits())
        return false;
    s->terminal = newterm(NULL, stdout, stdin);
    if (!s->terminal)
        return false;
    (void)set_escdelay(ESCAPE_MS);
    (void)cbreak();
    (void)noecho();
    (void)nonl();
    (void)keypad(stdscr, TRUE);
    (void)nodelay(stdscr, TRUE);
    (void)curs_set(0);
    start_colours(s);
    screen_resized(s);
    return true;
}

void screen_close(struct screen *s)
{
    if (!s->terminal)
        return;
    (void)endwin();
    delscreen(s->terminal);
    s->terminal = NULL;
}

void screen_resized(struct screen *s)
{
    struct winsize size = {0};
    /* In lines of one column ncurses 6.4 reads before the first. */
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 1)
        (void)resizeterm(size.ws_row, size.ws_col);
    s->height = getmaxy(stdscr);
    s->width = getmaxx(stdscr);
    (void)clearok(curscr, TRUE);
}

void screen_stop(struct screen *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    (void)endwin();
    /* By the signal's own default, which does nothing where nobody could continue us. */
    (void)signal(SIGTSTP, SIG_DFL);
    (void)raise(SIGTSTP);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)refresh();
    screen_resized(s);
}

int screen_key(void)
{
    static const struct {
        wint_t from;
        int to;
    } keys[] = {{KEY_UP, UI_KEY_UP},           {KEY_DOWN, UI_KEY_DOWN}, {KEY_PPAGE, UI_KEY_PAGE_UP},
                {KEY_NPAGE, UI_KEY_PAGE_DOWN}, {KEY_HOME, UI_KEY_HOME}, {KEY_END, UI_KEY_END}};
    wint_t key;
    int r = get_wch(&key);
    if (r == ERR)
        return -1;
    if (r != KEY_CODE_YES)
        return key < UI_KEY_UP ? (int)key : UI_KEY_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].from == key)
            return keys[i].to;
    return UI_KEY_OTHER;
}

void screen_begin(void)
{
    (void)erase();
}

void screen_end(void)
{
    (void)refresh();
}

static void set_ink(const struct screen *s, enum ink ink)
{
    static const struct {
        attr_t always, mono; /* `mono` where there are no colours */
        short pair;
    } inks[] = {
        [INK_PLAIN] = {A_NORMAL, A_NORMAL, 0},
        [INK_DIM] = {A_DIM, A_DIM, 0},
        [INK_BOLD] = {A_BOLD, A_BOLD, 0},
        [INK_GOOD] = {A_BOLD, A_BOLD, PAIR_GOOD},
        [INK_WARN] = {A_NORMAL, A_BOLD, PAIR_WARN},
        [INK_BAD] = {A_BOLD, A_BOLD, PAIR_BAD},
        [INK_TITLE] = {A_UNDERLINE, A_UNDERLINE, PAIR_TITLE},
        [INK_SELECTED] = {A_REVERSE, A_REVERSE, 0},
    };
    (void)attr_set(s->colour ? inks[ink].always : inks[ink].mono, s->colour ? inks[ink].pair : 0,
                   NULL);
}

static void put_wide(const struct screen *s, int y, int x, const wchar_t *text, enum ink ink)
{
    set_ink(s, ink);
    (void)mvaddwstr(y, x, text);
    set_ink(s, INK_PLAIN);
}

/* What of `width` cells at x is on the screen. */
static int room_at(const struct screen *s, int y, int x, int width)
{
    if (y < 0 || y >= s->height || x < 0 || x >= s->width)
        return 0;
    return width < s->width - x ? width : s->width - x;
}

int screen_put(const struct screen *s, int y, int x, int width, const char *text, enum ink ink)
{
    wchar_t cells[CELLS_MAX + 1];
    int room = room_at(s, y, x, width);
    int filled = room > 0 ? cells_fit(text, room, CUT_END, cells) : 0;
    if (filled > 0)
        put_wide(s, y, x, cells, ink);
    return filled;
}

void screen_put_in(const struct screen *s, int y, int x, int width, enum screen_place place,
                   const char *text, enum ink ink)
{
    wchar_t cells[CELLS_MAX + 1];
    int room = room_at(s, y, x, width);
    int filled =
        room > 0 ? cells_fit(text, room, place == PLACE_LEFT_END ? CUT_START : CUT_END, cells) : 0;
    if (filled > 0)
        put_wide(s, y, place == PLACE_RIGHT ? x + room - filled : x, cells, ink);
}

/* How many characters of the text go on a line; *skip more are the space that it is broken at. */
static size_t line_of(const wchar_t *text, int width, size_t *skip)
{
    size_t n = 0, space = 0;
    int filled = 0;
    for (; text[n] && filled + wcwidth(text[n]) <= width; n++) {
        filled += wcwidth(text[n]);
        space = text[n] == L' ' ? n : space;
    }
    *skip = 0;
    if (!text[n])
        return n;
    if (text[n] == L' ')
        space = n;
    *skip = space > 0;
    return space ? space : n;
}

int screen_put_lines(const struct screen *s, int y, int lines, const char *text, enum ink ink)
{
    wchar_t all[CELLS_MAX + 1];
    size_t skip;
    int used = 0;
    (void)cells_fit(text, 2 * CELLS_MAX, CUT_END, all);
    for (wchar_t *rest = all; *rest && used < lines && s->width > 1; used++) {
        size_t n = line_of(rest, s->width, &skip);
        wchar_t kept = rest[n];
        rest[n] = L'\0';
        if (y + used < s->height)
            put_wide(s, y + used, 0, rest, ink);
        rest[n] = kept;
        rest += n + skip;
    }
    return used;
}

void screen_fill(const struct screen *s, int y, enum ink ink)
{
    if (y < 0 || y >= s->height)
        return;
    set_ink(s, ink);
    (void)move(y, 0);
    for (int x = 0; x < s->width; x++)
        (void)addwstr(L" ");
    set_ink(s, INK_PLAIN);
}

void screen_bars(const struct screen *s, int y, int x, const int *levels, size_t n, enum ink ink)
{
    static const wchar_t blocks[] = L" ▁▂▃▄▅▆▇█", plain[] = L" _.:-=+*#";
    wchar_t text[2] = {0};
    for (size_t i = 0; i < n && room_at(s, y, x + (int)i, 1) > 0; i++) {
        text[0] = (cells_unicode() ? blocks : plain)[levels[i] + 1];
        put_wide(s, y, x + (int)i, text, levels[i] > 0 ? ink : INK_DIM);
    }
}
