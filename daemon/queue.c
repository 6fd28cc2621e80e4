#include "daemon/queue.h"

#include <assert.h>

void lane_init(struct lane *lane)
{
    list_init(&lane->waiters);
}

bool lane_empty(const struct lane *lane)
{
    return list_empty(&lane->waiters);
}

void queue_init(struct queue *q)
{
    *q = (struct queue){0};
    lane_init(&q->any);
    list_init(&q->all);
}

void queue_deinit(struct queue *q)
{
    assert(list_empty(&q->all) && lane_empty(&q->any) && q->length == 0);
}

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){0};
    list_init(&w->in_lane);
    list_init(&w->in_all);
}

/* Behind the last one that is older. From the end, since that is where nearly all belong. */
static void lane_insert(struct lane *lane, struct waiter *w)
{
    struct list *behind = lane->waiters.prev;
    while (behind != &lane->waiters && list_entry(behind, struct waiter, in_lane)->seq > w->seq)
        behind = behind->prev;
    list_append(behind->next, &w->in_lane);
    w->lane = lane;
}

static void all_insert(struct queue *q, struct waiter *w)
{
    struct list *behind = q->all.prev;
    while (behind != &q->all && list_entry(behind, struct waiter, in_all)->seq > w->seq)
        behind = behind->prev;
    list_append(behind->next, &w->in_all);
}

void queue_add(struct queue *q, struct lane *lane, struct waiter *w)
{
    assert(!w->lane);
    if (!w->seq)
        w->seq = ++q->last_seq;
    lane_insert(lane, w);
    all_insert(q, w);
    q->length++;
}

void queue_remove(struct queue *q, struct waiter *w)
{
    if (!w->lane)
        return;
    list_remove(&w->in_lane);
    list_remove(&w->in_all);
    w->lane = NULL;
    q->length--;
}

void queue_move(struct waiter *w, struct lane *to)
{
    assert(w->lane);
    list_remove(&w->in_lane);
    lane_insert(to, w);
}

static const struct waiter *lane_at(const struct lane *lane, const struct list *at)
{
    return at == &lane->waiters ? NULL : list_entry(at, struct waiter, in_lane);
}

struct waiter *queue_oldest(const struct queue *q, const struct lane *lane,
                            bool (*may)(const struct waiter *w, void *arg), void *arg)
{
    const struct lane *own = lane ? lane : &q->any;
    const struct waiter *a = lane_at(own, own->waiters.next);
    const struct waiter *b = lane ? lane_at(&q->any, q->any.waiters.next) : NULL;
    while (a || b) {
        const struct waiter **next = !b || (a && a->seq < b->seq) ? &a : &b;
        if (!may || may(*next, arg))
            return (struct waiter *)(uintptr_t)*next;
        *next = lane_at((*next)->lane, (*next)->in_lane.next);
    }
    return NULL;
}

size_t queue_position(const struct queue *q, const struct waiter *w)
{
    size_t position = 0;
    list_for_each (it, &q->all) {
        position++;
        if (it == &w->in_all)
            break;
    }
    return position;
}

struct waiter *queue_first(const struct queue *q)
{
    return list_first(&q->all, struct waiter, in_all);
}
