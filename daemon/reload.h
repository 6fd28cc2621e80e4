/* Reading the settings again: by SIGHUP, or as an administrator asks for it. */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "daemon/server.h"

/* Prepares the signal's watcher, which the caller starts. */
void reload_init(struct server *s);

/* All settings are the file's again, poolSize and the log's level included. False: nothing is
 * changed, and *error is a heap message that says why (NULL when out of memory); it has been
 * logged. */
bool reload_settings(struct server *s, char **error) CP_MUSTCHECK;

#endif
