/* Integers as ids have them: in decimal, nothing else around them. */
#ifndef PROTO_DECIMAL_H
#define PROTO_DECIMAL_H

#include "proto/base.h"

#define DECIMAL_MAX 20 /* bytes that the longest one has */

/* How many bytes it takes; there is no NUL after them. */
size_t decimal_write(uint64_t value, char to[static DECIMAL_MAX]);

/* False where it is none, or not one of 64 bits with a sign. */
bool decimal_read(struct slice text, int64_t *value) CP_MUSTCHECK;

#endif
