#include "daemon/backlog.h"

#include "daemon/client.h"
#include "daemon/request.h"

#include <assert.h>

struct line {
    struct list in_lines;
    struct list requests; /* empty where they have all left: freed when next looked at */
    unsigned client_id;
};

static void line_free(struct line *l)
{
    list_remove(&l->in_lines);
    free(l);
}

static void drop_empty(struct backlog *b)
{
    list_for_each_safe (it, &b->lines) {
        struct line *l = list_entry(it, struct line, in_lines);
        if (list_empty(&l->requests))
            line_free(l);
    }
}

void backlog_init(struct backlog *b)
{
    list_init(&b->own);
    list_init(&b->lines);
}

void backlog_deinit(struct backlog *b)
{
    drop_empty(b);
    assert(list_empty(&b->own) && list_empty(&b->lines));
}

struct list *backlog_line(struct backlog *b, const struct client *c)
{
    if (!c)
        return &b->own;
    drop_empty(b);
    list_for_each (it, &b->lines) {
        struct line *l = list_entry(it, struct line, in_lines);
        if (l->client_id == c->id)
            return &l->requests;
    }
    struct line *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->client_id = c->id;
    list_init(&l->requests);
    list_append(&b->lines, &l->in_lines);
    return &l->requests;
}

static struct line *first_line(struct backlog *b)
{
    struct line *l;
    while ((l = list_first(&b->lines, struct line, in_lines)) && list_empty(&l->requests))
        line_free(l);
    return l;
}

struct request *backlog_first(struct backlog *b)
{
    struct line *l;
    if (!list_empty(&b->own))
        return list_first(&b->own, struct request, node);
    return (l = first_line(b)) ? list_first(&l->requests, struct request, node) : NULL;
}

void backlog_rotate(struct backlog *b)
{
    struct line *l = list_empty(&b->own) ? first_line(b) : NULL;
    if (!l)
        return;
    list_remove(&l->in_lines);
    list_append(&b->lines, &l->in_lines);
}

static void each_of(const struct list *requests, void (*each)(const struct request *r, void *arg),
                    void *arg)
{
    list_for_each (it, requests)
        each(list_entry(it, struct request, node), arg);
}

void backlog_each(const struct backlog *b, void (*each)(const struct request *r, void *arg),
                  void *arg)
{
    each_of(&b->own, each, arg);
    list_for_each (it, &b->lines)
        each_of(&list_entry(it, struct line, in_lines)->requests, each, arg);
}
