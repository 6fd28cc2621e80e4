#include "client/turn_view.h"

#include "client/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

struct piece {
    struct list in_pieces;
    char *item;
};

void turn_view_init(struct turn_view *v, bool json)
{
    *v = (struct turn_view){
        .json = json,
        .on_terminal = isatty(STDOUT_FILENO),
        .err_terminal = isatty(STDERR_FILENO),
    };
    output_init(&v->out, STDOUT_FILENO);
    list_init(&v->pieces);
}

static void piece_free(struct piece *p)
{
    list_remove(&p->in_pieces);
    free(p->item);
    free(p);
}

void turn_view_deinit(struct turn_view *v)
{
    list_for_each_safe (it, &v->pieces)
        piece_free(list_entry(it, struct piece, in_pieces));
    free(v->last_item);
    output_deinit(&v->out);
}

int turn_view_line(struct turn_view *v, struct slice line)
{
    int r = output_put(&v->out, line);
    return r < 0 ? r : output_put(&v->out, SLICE("\n"));
}

static int put_text(struct turn_view *v, struct slice text)
{
    size_t n;
    if (!text.n)
        return 0;
    v->line_open = text.p[text.n - 1] != '\n';
    if (!v->on_terminal)
        return output_put(&v->out, text);
    _cleanup_free_ char *shown = text_for_terminal(text, &n);
    return shown ? output_put(&v->out, (struct slice){shown, n}) : -ENOMEM;
}

int turn_view_end(struct turn_view *v)
{
    return v->line_open ? put_text(v, SLICE("\n")) : 0;
}

/* Text of an item: another one than before starts a line of its own. */
static int put_item_text(struct turn_view *v, struct slice item, struct slice raw)
{
    size_t n;
    _cleanup_free_ char *text = text_unescape(raw, &n);
    if (!text)
        return -ENOMEM;
    turn_view_clear(v);
    if (!v->last_item || !slice_is(item, v->last_item)) {
        int r = turn_view_end(v);
        free(v->last_item);
        v->last_item = slice_dup(item);
        if (r < 0 || !v->last_item)
            return -ENOMEM;
    }
    return put_text(v, (struct slice){text, n});
}

static struct piece *find_piece(struct turn_view *v, struct slice item)
{
    list_for_each (it, &v->pieces) {
        struct piece *p = list_entry(it, struct piece, in_pieces);
        if (slice_is(item, p->item))
            return p;
    }
    return NULL;
}

int turn_view_delta(struct turn_view *v, struct slice item, struct slice text)
{
    if (!find_piece(v, item)) {
        struct piece *p = calloc(1, sizeof(*p));
        if (!p || !(p->item = slice_dup(item))) {
            free(p);
            return -ENOMEM;
        }
        list_append(&v->pieces, &p->in_pieces);
    }
    return put_item_text(v, item, text);
}

int turn_view_message(struct turn_view *v, struct slice item, struct slice text)
{
    struct piece *p = find_piece(v, item);
    if (!p)
        return put_item_text(v, item, text);
    piece_free(p);
    return 0;
}

void turn_view_clear(struct turn_view *v)
{
    if (v->waiting)
        fprintf(stderr, "\r%*s\r", (int)v->waiting, "");
    v->waiting = 0;
}

void turn_view_waiting(struct turn_view *v, long long position, long long length)
{
    char text[80];
    if (!v->err_terminal)
        return;
    turn_view_clear(v);
    int n = snprintf(text, sizeof(text), "waiting, place %lld of %lld", position, length);
    v->waiting = (size_t)n;
    fprintf(stderr, "\r%s", text);
}

void turn_view_settle(struct turn_view *v)
{
    turn_view_clear(v);
    if (!v->on_terminal || !v->err_terminal)
        return;
    if (turn_view_end(v) < 0)
        return;
    while (outbuf_len(&v->out.pending)) {
        struct pollfd p = {v->out.fd, POLLOUT, 0};
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return;
        if (output_some(&v->out) < 0)
            return;
    }
}
