/* Members of a JSON object that may be missing or of another type. */
#ifndef CLIENT_FIELDS_H
#define CLIENT_FIELDS_H

#include "proto/base.h"

#include <cjson/cJSON.h>

static inline const cJSON *field(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* `otherwise` where it is no number. */
static inline double field_number(const cJSON *object, const char *name, double otherwise)
{
    const cJSON *value = field(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

/* Borrowed from the tree; NULL where it is no string. */
static inline const char *field_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(field(object, name));
}

static inline bool text_is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

#endif
