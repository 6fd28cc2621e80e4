/* `-c KEY=VALUE` of a caller that thinks it starts a Codex of its own. A shared worker's
 * configuration cannot change for it, but each thread that it opens can be given the same as its
 * `config`. */
#ifndef CLIENT_OVERRIDES_H
#define CLIENT_OVERRIDES_H

#include "proto/base.h"

#include <cjson/cJSON.h>

struct overrides {
    cJSON *config; /* an object, by dotted keys; NULL while empty */
};

void overrides_init(struct overrides *o);
void overrides_deinit(struct overrides *o);

static inline bool overrides_any(const struct overrides *o)
{
    return o->config != NULL;
}

/* Takes `-c`, `--config`, `--enable` and `--disable` out of flags for `codex app-server`, in each
 * of their forms, and says on stderr what becomes of them. All other flags are passed over. 0 or
 * -ENOMEM. */
int overrides_read(struct overrides *o, int argc, char **argv) CP_MUSTCHECK;

/* A message of the client's with the overrides in it, if it opens a thread: in its `config`, where
 * what it says itself counts. *changed is a heap string, the caller's to free, or NULL where the
 * line is to go as it is. 0 or -ENOMEM. */
int overrides_apply(const struct overrides *o, struct slice line, char **changed) CP_MUSTCHECK;

#endif
