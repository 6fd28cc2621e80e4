/* Numbers as people read them. */
#ifndef CLIENT_HUMAN_H
#define CLIENT_HUMAN_H

#include <stdio.h>

/* "12 ms", "3.4 s", "5m 6s", "7h 8m", "9d 10h" */
void human_duration(FILE *to, double ms);

/* "12 kB", "345 MB", "6.7 GB" */
void human_bytes(FILE *to, double bytes);

#endif
