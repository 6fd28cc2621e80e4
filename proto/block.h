/* Memory that the reader of a long line and its writer hold together, so that nobody copies it. */
#ifndef PROTO_BLOCK_H
#define PROTO_BLOCK_H

#include "proto/base.h"

struct block {
    unsigned holders;
    size_t cap;
    char data[];
};

/* One for `cap` bytes, held by the caller; or `b` with so many, which must not be fewer than
 * before. It may move, and the caller alone must hold it. NULL when out of memory: then `b` is as
 * it was. */
struct block *block_grow(struct block *b, size_t cap) CP_MUSTCHECK;

/* One more holder. */
struct block *block_hold(struct block *b);

/* One holder less; the last one frees it. NULL is fine. Returns NULL. */
struct block *block_drop(struct block *b);

#endif
