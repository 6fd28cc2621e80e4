/* How the pool is, in one line of words. */
#ifndef CLIENT_HEADLINE_H
#define CLIENT_HEADLINE_H

#include <cjson/cJSON.h>

#include <stdio.h>

enum mood {
    MOOD_GOOD,
    MOOD_WARN, /* somebody should know */
    MOOD_BAD,  /* nobody is served */
};

/* "4 workers: 2 busy, 1 idle, 1 down; 3 waiting, longest 12.0 s" of a pool/status result, without a
 * line feed. What it lacks is left out. */
void headline_print(FILE *to, const cJSON *status);

enum mood headline_mood(const cJSON *status);

#endif
