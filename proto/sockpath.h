/* Where the daemon listens: one answer for the daemon and the client. */
#ifndef PROTO_SOCKPATH_H
#define PROTO_SOCKPATH_H

#include "proto/base.h"

#include <sys/un.h>

/* The configuration file: `flag` (--config) if given, else $XDG_CONFIG_HOME/codex-pool/config.json
 * if that is set and the file is there, else /etc/codex-pool/config.json if it is there, else none.
 * *path is a heap string or NULL for none. 0 or -ENOMEM. */
int sockpath_config_file(const char *flag, char **path) CP_MUSTCHECK;

/* The socket: `flag` (--socket), else $CODEX_POOL_SOCKET, else `configured` (the configuration's
 * "socket", may be NULL), else $XDG_RUNTIME_DIR/codex-pool/codex-pool.sock, else
 * /run/codex-pool/codex-pool.sock. Empty values count as not given. *path is a heap string.
 * 0, -ENOMEM. */
int sockpath_find(const char *flag, const char *configured, char **path) CP_MUSTCHECK;

/* As sockpath_find, with `configured` read from the configuration file that sockpath_config_file
 * finds; a file that cannot be read or is no JSON counts as saying nothing (the daemon is the one
 * who complains). For clients. 0, -ENOMEM. */
int sockpath_find_for_client(const char *flag, char **path) CP_MUSTCHECK;

/* Fills the address. 0, or -ENAMETOOLONG where the path does not fit one. */
int sockpath_address(const char *path, struct sockaddr_un *address) CP_MUSTCHECK;

#endif
