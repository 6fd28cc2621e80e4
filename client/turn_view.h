/* What a person or a script sees of a turn: its text on standard output as it comes, and on a
 * terminal, on standard error, the place in the queue. */
#ifndef CLIENT_TURN_VIEW_H
#define CLIENT_TURN_VIEW_H

#include "client/output.h"
#include "proto/list.h"

struct turn_view {
    struct output out;
    bool json;          /* lines as they came instead of text */
    bool on_terminal;   /* standard output is one */
    bool err_terminal;  /* standard error is one */
    size_t waiting;     /* columns of the waiting line that is shown; 0: none */
    bool line_open;     /* the text does not end with a line feed yet */
    char *last_item;    /* the item whose text came last */
    struct list pieces; /* items whose text came in pieces and is not complete */
};

void turn_view_init(struct turn_view *v, bool json);
void turn_view_deinit(struct turn_view *v);

/* A notification as it came. 0 or -ENOMEM, as all that follow. */
int turn_view_line(struct turn_view *v, struct slice line) CP_MUSTCHECK;

/* A piece of an item's text, and the whole at its end, which is shown only where no piece was.
 * Both raw, of a JSON string. */
int turn_view_delta(struct turn_view *v, struct slice item, struct slice text) CP_MUSTCHECK;
int turn_view_message(struct turn_view *v, struct slice item, struct slice text) CP_MUSTCHECK;

/* Ends the last line of text. */
int turn_view_end(struct turn_view *v) CP_MUSTCHECK;

/* Shows "waiting, place 2 of 3" in place, on a terminal; and takes it away. */
void turn_view_waiting(struct turn_view *v, long long position, long long length);
void turn_view_clear(struct turn_view *v);

/* Makes room for messages on standard error: the waiting line goes, and where both are one
 * terminal, all text so far is written and its line ended. */
void turn_view_settle(struct turn_view *v);

#endif
