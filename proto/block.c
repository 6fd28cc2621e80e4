#include "proto/block.h"

#include <assert.h>

struct block *block_grow(struct block *b, size_t cap)
{
    assert(!b || (b->holders == 1 && b->cap <= cap));
    if (cap > SIZE_MAX / 2)
        return NULL;
    b = realloc(b, sizeof(*b) + cap);
    if (!b)
        return NULL;
    b->holders = 1;
    b->cap = cap;
    return b;
}

struct block *block_hold(struct block *b)
{
    b->holders++;
    return b;
}

struct block *block_drop(struct block *b)
{
    if (b && --b->holders == 0)
        free(b);
    return NULL;
}
