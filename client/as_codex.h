/* In the place of `codex`: which of its calls the pool serves, and the real one for all others. */
#ifndef CLIENT_AS_CODEX_H
#define CLIENT_AS_CODEX_H

#include "proto/base.h"

enum {
    AS_CODEX_SERVED = -1, /* any other result is an exit code */
};

/* True if the program was called by the name of `codex`, through a link to it. */
bool as_codex_called(const char *program);

/* True if a word after `codex-pool` is none of ours but a command of Codex's, or a flag that only
 * Codex takes before its command. */
bool as_codex_knows(const char *word);

/* True if there is a codex in PATH that as_codex would become. */
bool as_codex_has_other(void);

/* Looks at a whole command line, argv[0] included. Where it is `[FLAGS] app-server [FLAGS]` on
 * standard input and output, and nobody's worker, AS_CODEX_SERVED with all the flags as a heap
 * array of *n borrowed words; else the process becomes the real codex, or an exit code says why it
 * cannot. */
int as_codex(int argc, char **argv, char ***flags, int *n) CP_MUSTCHECK;

#endif
