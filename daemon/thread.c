#include "daemon/thread.h"

#include "daemon/settings.h"

#include <assert.h>
#include <errno.h>

#define BUCKETS_MIN 64

/* What differs in a bit of h or of the piece, comes to differ in all above it, and then below. */
static inline uint64_t mix(uint64_t h, uint64_t piece)
{
    h = (h ^ piece) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

static inline uint64_t piece_at(const char *p, size_t n)
{
    uint64_t piece = 0;
    memcpy(&piece, p, n);
    return piece;
}

uint64_t thread_hash(struct slice id)
{
    uint64_t h = id.n;
    if (id.n >= 8) {
        const char *last = id.p + id.n - 8;
        for (const char *p = id.p; p < last; p += 8)
            h = mix(h, piece_at(p, 8));
        h = mix(h, piece_at(last, 8));
    } else if (id.n) {
        h = mix(h, piece_at(id.p, id.n));
    }
    /* The last one's high bits are not in all of the low ones yet. */
    h = mix(h, 0);
    return h ? h : 1;
}

static struct list *buckets_new(size_t n)
{
    struct list *buckets = calloc(n, sizeof(*buckets));
    for (size_t i = 0; buckets && i < n; i++)
        list_init(&buckets[i]);
    return buckets;
}

int threads_init(struct threads *ts)
{
    *ts = (struct threads){.buckets = buckets_new(BUCKETS_MIN), .n_buckets = BUCKETS_MIN};
    return ts->buckets ? 0 : -ENOMEM;
}

void threads_deinit(struct threads *ts)
{
    assert(ts->count == 0);
    free(ts->buckets);
    *ts = (struct threads){0};
}

static struct list *bucket_of(const struct threads *ts, struct slice id)
{
    assert(ts->n_buckets > 0);
    return &ts->buckets[thread_hash(id) % ts->n_buckets];
}

struct thread *threads_find(const struct threads *ts, struct slice id)
{
    if (!id.n)
        return NULL;
    list_for_each (it, bucket_of(ts, id)) {
        struct thread *t = list_entry(it, struct thread, in_bucket);
        if (slice_is(id, t->id))
            return t;
    }
    return NULL;
}

/* Staying small is only slower, so a failed allocation is no failure. */
static void grow(struct threads *ts)
{
    struct threads bigger = {.n_buckets = ts->n_buckets * 2};
    bigger.buckets = buckets_new(bigger.n_buckets);
    if (!bigger.buckets)
        return;
    for (size_t i = 0; i < ts->n_buckets; i++) {
        list_for_each_safe (it, &ts->buckets[i]) {
            struct thread *t = list_entry(it, struct thread, in_bucket);
            list_remove(it);
            list_append(bucket_of(&bigger, slice_str(t->id)), it);
        }
    }
    free(ts->buckets);
    ts->buckets = bigger.buckets;
    ts->n_buckets = bigger.n_buckets;
}

struct thread *threads_add(struct threads *ts, struct slice id, struct worker *owner,
                           struct list *loaded)
{
    assert(!threads_find(ts, id));
    struct thread *t = calloc(1, sizeof(*t) + id.n + 1);
    if (!t)
        return NULL;
    memcpy(t->id, id.p, id.n);
    t->owner = owner;
    list_init(&t->in_client);
    list_init(&t->blocked);
    if (ts->count >= ts->n_buckets)
        grow(ts);
    list_append(bucket_of(ts, id), &t->in_bucket);
    list_append(loaded, &t->in_owner);
    ts->count++;
    return t;
}

void threads_remove(struct threads *ts, struct thread *t, struct list *loaded)
{
    assert(list_empty(&t->blocked) && !t->opening && !t->move);
    list_for_each (it, loaded) {
        struct thread *child = list_entry(it, struct thread, in_owner);
        if (child->parent == t)
            child->parent = t->parent;
    }
    list_remove(&t->in_bucket);
    list_remove(&t->in_owner);
    list_remove(&t->in_client);
    ts->count--;
    settings_free(t->settings);
    free(t->turn_id);
    free(t);
}

void thread_subscribe(struct thread *t, struct client *c, struct list *subscribed)
{
    list_remove(&t->in_client);
    t->subscriber = c;
    if (c)
        list_append(subscribed, &t->in_client);
}

bool thread_busy(const struct thread *t)
{
    return t->active || t->running > 0 || t->promised;
}

bool thread_descends(const struct thread *t, const struct thread *of)
{
    while (t && t != of)
        t = t->parent;
    return t != NULL;
}

uint64_t thread_family(const struct thread *t)
{
    while (t->parent)
        t = t->parent;
    return t->side_of ? t->side_of : thread_hash(slice_str(t->id));
}

void thread_set_turn(struct thread *t, struct slice turn_id)
{
    if (t->turn_id && slice_is(turn_id, t->turn_id))
        return;
    free(t->turn_id);
    t->turn_id = turn_id.n ? slice_dup(turn_id) : NULL;
}
