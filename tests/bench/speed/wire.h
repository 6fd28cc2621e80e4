/* The lines that the scripted worker streams, and by which the load generator knows that it has got
 * every one.
 *
 * A turn is asked for by its text: "stream COUNT SIZE whole|each RATE". It streams COUNT deltas,
 * lines of SIZE bytes with their newline, that end in their number modulo wire_cycle(SIZE): a
 * worker renders a cycle once and writes it again and again. Lines lost or out of order show by
 * their numbers, whole cycles lost by the count. */
#ifndef SPEED_WIRE_H
#define SPEED_WIRE_H

#include "proto/base.h"

#define THREAD_ID_LEN 36
/* The last bytes of a line, from its number on: 8 digits and `"}}\n`. */
#define WIRE_TAIL 12
/* With 120 bytes of text. */
#define WIRE_DELTA_LINE 280

size_t wire_cycle(size_t size);

/* Writes line `n` of a cycle, SIZE bytes. */
void wire_delta(char *line, size_t size, const char *thread, size_t n);
/* Its last WIRE_TAIL bytes alone. */
void wire_tail(char tail[WIRE_TAIL], size_t n);

/* Text as it stands in a JSON string, a line's end in every 80 bytes; never half an escape. */
void wire_text(char *to, size_t n);

#endif
