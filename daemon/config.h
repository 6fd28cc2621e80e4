/* The settings: defaults, the file's JSON, the command line. Constant once loaded. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "daemon/log.h"

#include <cjson/cJSON.h>
#include <sys/types.h>

/* A NULL-terminated heap array of heap strings. */
typedef char **strings;
void strings_free(strings list);

#define CONFIG_POOL_SIZE_MAX 256
#define CONFIG_MAX_PARKED_MAX 256
/* Never more, whatever is set. */
#define CONFIG_WORKERS_MAX (CONFIG_POOL_SIZE_MAX + CONFIG_MAX_PARKED_MAX)

/* When a thread may move to another worker than its owner. */
enum moves {
    MOVES_AUTO,   /* for whatever waits for the owner */
    MOVES_RESUME, /* for thread/resume alone */
    MOVES_NEVER,
};
const char *moves_name(enum moves moves);

struct config {
    char *file;   /* where it came from; NULL for defaults only */
    char *socket; /* path; never NULL after config_load */
    mode_t socket_mode;
    int64_t pool_size, min_workers;
    bool prewarm;
    int64_t idle_timeout_ms, acquire_timeout_ms;
    int64_t max_queue, max_waiters_per_uid, max_leases_per_uid, max_clients, max_message_bytes;
    int64_t open_linger_ms, interrupt_timeout_ms, start_timeout_ms, drain_timeout_ms;
    int64_t client_stall_timeout_ms;
    int64_t max_parked, max_parked_clients, max_parked_per_uid, max_parked_ms, max_parked_bytes;
    int64_t max_streams_per_worker, max_worker_rss_bytes, max_worker_age_ms;
    int64_t max_turn_ms, turn_stall_timeout_ms;
    enum moves moves;
    char *codex_command, *codex_cwd; /* cwd NULL: the daemon's */
    strings codex_args, codex_env;   /* env: NAME=value, added to the daemon's own */
    cJSON *client_info;
    int64_t *allow_uids, *allow_gids, *admin_uids; /* each ends with -1 */
    strings deny_methods;
    enum log_level log_level;
    enum log_format log_format;
};

/* What the command line says; NULL or 0 where it says nothing. */
struct config_flags {
    const char *file, *socket, *codex;
    int64_t pool_size;
    int log_level, log_format; /* -1: not given */
};

/* Reads the configuration file that the flags and the environment name, then applies the flags.
 * Returns a heap object, the caller's to config_free, or NULL with *error a heap message that names
 * the file and the key or line and says what would be right (NULL when out of memory). */
struct config *config_load(const struct config_flags *flags, char **error);

/* As config_load, from a text instead of a file; `name` stands for the file in messages. */
struct config *config_parse(const char *text, const char *name, const struct config_flags *flags,
                            char **error);

/* Takes NULL. */
void config_free(struct config *config);

/* The i-th of the settings that are whole numbers: its key, and its value in *value; NULL past the
 * last. */
const char *config_number(const struct config *config, size_t i, int64_t *value);

/* The effective configuration as a JSON document, a heap string; NULL when out of memory. */
char *config_print(const struct config *config);

/* True where both start workers alike. */
bool config_same_codex(const struct config *a, const struct config *b);

/* True where a method is refused by denyMethods: an exact name, or a prefix up to and including a
 * slash followed by a star. */
bool config_denies(const struct config *config, struct slice method);

/* True where a list that ends with -1 has the value. */
bool config_has_id(const int64_t *ids, int64_t id);

#endif
