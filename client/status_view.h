/* The pool's status as a person reads it. */
#ifndef CLIENT_STATUS_VIEW_H
#define CLIENT_STATUS_VIEW_H

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stdio.h>

/* Prints a pool/status result; whatever it lacks is shown as "-". */
void status_view_print(FILE *to, const cJSON *status, bool colour);

#endif
