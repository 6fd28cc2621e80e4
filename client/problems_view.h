/* What pool/status says is wrong, before anything else. */
#ifndef CLIENT_PROBLEMS_VIEW_H
#define CLIENT_PROBLEMS_VIEW_H

#include "proto/base.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* A line for each problem and one for what helps; `bad` and `end` go around the former (may be "").
 * False where the daemon is one that tells no problems. */
bool problems_view_print(FILE *to, const cJSON *status, const char *bad, const char *end);

#endif
