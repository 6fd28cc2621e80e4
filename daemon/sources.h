/* The files that a thread's settings and instructions come from.
 *
 * Codex reads them when it loads a thread: one that stays loaded keeps what it has read, one that
 * moves would get what is there now, and no answer shows it (measured on 0.169: tools, a provider's
 * headers, the text of an AGENTS.md). */
#ifndef DAEMON_SOURCES_H
#define DAEMON_SOURCES_H

#include "daemon/config.h"

/* One number for config.toml and the files in `instruction_sources` (the answer's array, raw JSON,
 * NULL for none) as they are now. Tables of config.toml that Codex writes by itself as it goes
 * (trusted projects, notices, what its terminal has shown) do not count. */
uint64_t sources_stamp(const struct config *config, const char *instruction_sources);

#endif
