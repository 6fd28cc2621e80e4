#include "daemon/reserve.h"

#include <errno.h>
#include <ev.h>
#include <malloc.h>

/* More than any of the loop's arrays with a few thousand descriptors, and as many as may have to
 * grow before there is memory again. */
#define BLOCK_BYTES ((size_t)128 * 1024)
#define BLOCKS 16

/* libev's allocator takes no argument to find them by. */
static void *blocks[BLOCKS];
static size_t n_blocks;

/* A kept block in place of one that could not grow; NULL where none is left or large enough. */
static void *take_block(void *old, size_t n)
{
    if (!n_blocks || n > BLOCK_BYTES)
        return NULL;
    void *p = blocks[--n_blocks];
    size_t had = malloc_usable_size(old);
    if (old)
        memcpy(p, old, had < n ? had : n);
    free(old);
    return p;
}

static void *allocate(void *old, long n)
{
    if (n == 0) {
        free(old);
        return NULL;
    }
    void *p = realloc(old, (size_t)n);
    return p ? p : take_block(old, (size_t)n);
}

int reserve_init(void)
{
    reserve_refill();
    ev_set_allocator(allocate);
    return n_blocks == BLOCKS ? 0 : -ENOMEM;
}

void reserve_deinit(void)
{
    while (n_blocks)
        free(blocks[--n_blocks]);
}

void reserve_refill(void)
{
    while (n_blocks < BLOCKS && (blocks[n_blocks] = malloc(BLOCK_BYTES)))
        n_blocks++;
}
