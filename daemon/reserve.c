#include "daemon/reserve.h"

#include <errno.h>
#include <ev.h>

/* Far more than any of the loop's arrays. */
#define RESERVE_BYTES ((size_t)1024 * 1024)

/* libev's allocator takes no argument to find it by. */
static void *reserve;

static void *allocate(void *old, long n)
{
    if (n == 0) {
        free(old);
        return NULL;
    }
    void *p = realloc(old, (size_t)n);
    if (!p && reserve) {
        reserve_deinit();
        p = realloc(old, (size_t)n);
    }
    return p;
}

int reserve_init(void)
{
    reserve_refill();
    ev_set_allocator(allocate);
    return reserve ? 0 : -ENOMEM;
}

void reserve_deinit(void)
{
    free(reserve);
    reserve = NULL;
}

void reserve_refill(void)
{
    if (!reserve)
        reserve = malloc(RESERVE_BYTES);
}
