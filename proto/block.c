#include "proto/block.h"

#include <assert.h>
#include <sys/mman.h>

/* What is larger than this is mapped in huge pages, where the system has them: of a long line most
 * of the work is otherwise the kernel's, finding memory for it page by page. */
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)
#define MAPPED_MIN (2 * HUGE_PAGE)

static bool is_mapped(size_t cap)
{
    return cap >= MAPPED_MIN;
}

static size_t mapping(size_t cap)
{
    return (sizeof(struct block) + cap + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

static struct block *use_huge_pages(void *p, size_t n)
{
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, n, MADV_HUGEPAGE);
    return p;
}

static struct block *map(size_t cap)
{
    size_t n = mapping(cap);
    return use_huge_pages(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                          n);
}

static void release(struct block *b)
{
    if (is_mapped(b->cap))
        (void)munmap(b, mapping(b->cap));
    else
        free(b);
}

static struct block *grow_mapped(struct block *b, size_t cap)
{
    size_t n = mapping(cap);
    if (b && is_mapped(b->cap))
        return use_huge_pages(mremap(b, mapping(b->cap), n, MREMAP_MAYMOVE), n);
    struct block *mapped = map(cap);
    if (b && mapped) {
        memcpy(mapped->data, b->data, b->cap);
        release(b);
    }
    return mapped;
}

struct block *block_grow(struct block *b, size_t cap)
{
    assert(!b || (b->holders == 1 && b->cap <= cap));
    if (cap > SIZE_MAX / 2)
        return NULL;
    b = is_mapped(cap) ? grow_mapped(b, cap) : realloc(b, sizeof(*b) + cap);
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
        release(b);
    return NULL;
}
