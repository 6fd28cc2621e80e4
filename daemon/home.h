/* Where the workers' Codex keeps its files. */
#ifndef DAEMON_HOME_H
#define DAEMON_HOME_H

#include "daemon/config.h"

/* A path below $CODEX_HOME as the workers see it (else ~/.codex); a heap string, NULL where neither
 * is known or out of memory. */
char *home_path(const struct config *config, const char *name);

#endif
