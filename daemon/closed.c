#include "daemon/closed.h"

#include "daemon/thread.h"

/* The number of the first with this hash in its bucket, and what points to it; 0: there is none. */
static uint16_t find(struct closed_ring *ring, uint64_t hash, uint16_t **link)
{
    *link = &ring->first[hash % CLOSED_BUCKETS];
    while (**link && ring->hash[**link - 1] != hash)
        *link = &ring->after[**link - 1];
    return **link;
}

/* Free again, out of its bucket. */
static void drop(struct closed_ring *ring, uint16_t number, uint16_t *link)
{
    *link = ring->after[number - 1];
    ring->hash[number - 1] = 0;
}

static void drop_at(struct closed_ring *ring, uint16_t number)
{
    uint16_t *link = &ring->first[ring->hash[number - 1] % CLOSED_BUCKETS];
    while (*link != number)
        link = &ring->after[*link - 1];
    drop(ring, number, link);
}

void closed_add(struct closed_ring *ring, struct slice id)
{
    uint64_t hash = thread_hash(id);
    uint16_t number = (uint16_t)(ring->next + 1), *first = &ring->first[hash % CLOSED_BUCKETS];
    if (ring->hash[number - 1])
        drop_at(ring, number);
    ring->hash[number - 1] = hash;
    ring->after[number - 1] = *first;
    *first = number;
    ring->next = (ring->next + 1) % CLOSED_KEPT;
}

bool closed_has(const struct closed_ring *ring, struct slice id)
{
    uint16_t *link;
    return find((struct closed_ring *)(uintptr_t)ring, thread_hash(id), &link) != 0;
}

void closed_remove(struct closed_ring *ring, struct slice id)
{
    uint64_t hash = thread_hash(id);
    uint16_t number, *link;
    while ((number = find(ring, hash, &link)))
        drop(ring, number, link);
}
