/* What a script's payload stands for:
 *
 *   @   the writer's mark (see promises.h)
 *   ~N  the N-th thread that the writer may name, else "T"
 *   ^   the thread that it writes about, else "T"
 *   #   a lot of bytes
 *   %   an underscore, so that no script can forge a mark
 *
 * and every other byte for itself. */
#ifndef TESTS_FUZZ_PAYLOAD_H
#define TESTS_FUZZ_PAYLOAD_H

#include "proto/outbuf.h"

#define NAMES_KEPT 10

/* Ids of threads that bear the mark of the client that opened them, so nobody else can name them.
 */
struct names {
    char *name[NAMES_KEPT];
    size_t n;
};

/* A copy; the first few are kept. */
void names_add(struct names *names, struct slice name);
bool names_have(const struct names *names, struct slice name);
void names_remove(struct names *names, struct slice name);
void names_free(struct names *names);

struct writer {
    const char *mark, *about; /* about: NULL for "T" */
    const struct names *names;
};

/* Appends to an outbuf; `budget` is what may still come of "#". */
void payload_expand(struct outbuf *to, struct slice payload, const struct writer *writer,
                    size_t *budget);

/* What has come to it since it had `before` bytes. */
struct slice payload_since(const struct outbuf *ob, size_t before);

#endif
