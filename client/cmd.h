/* What the commands share: how they are called, how they end, how they read their options. */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include "proto/base.h"

enum {
    CMD_DONE = 0,
    CMD_FAILED = 1,
    CMD_USAGE = 64,
    CMD_NO_DAEMON = 69,
    CMD_RETRY = 75, /* the same may well succeed a moment later */
    CMD_INTERRUPTED = 130,
};

struct cmd {
    const char *name;
    const char *usage; /* what follows "codex-pool " in the one-line form */
    const char *help;  /* the whole text of --help after the usage line */
    int (*run)(const struct cmd *cmd, const char *socket, int argc, char **argv);
};

/* argv holds what follows the command's name; the result is the exit code. */
int cmd_app_server(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_call(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_locks(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_ping(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_run(const struct cmd *cmd, const char *socket, int argc, char **argv);
/* Every command that is one steering method of the daemon's. */
int cmd_steer(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_status(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_top(const struct cmd *cmd, const char *socket, int argc, char **argv);
int cmd_trace(const struct cmd *cmd, const char *socket, int argc, char **argv);

extern const char cmd_app_server_help[];
extern const char cmd_call_help[];
extern const char cmd_locks_help[];
extern const char cmd_ping_help[];
extern const char cmd_run_help[];
extern const char cmd_status_help[];
extern const char cmd_top_help[];
extern const char cmd_resize_help[];
extern const char cmd_recycle_help[];
extern const char cmd_pause_help[];
extern const char cmd_resume_help[];
extern const char cmd_drain_help[];
extern const char cmd_cancel_help[];
extern const char cmd_interrupt_help[];
extern const char cmd_kick_help[];
extern const char cmd_reload_help[];
extern const char cmd_log_level_help[];
extern const char cmd_trace_help[];

/* Usage line and help to stdout; CMD_DONE. */
int cmd_print_help(const struct cmd *cmd);

/* "codex-pool NAME: MESSAGE" and the right form to stderr; CMD_USAGE. */
int cmd_usage_error(const struct cmd *cmd, const char *format, ...) CP_PRINTF(2, 3);

/* An option: a flag that becomes true, or a value (--name VALUE, --name=VALUE). */
struct cmd_option {
    const char *name; /* with its dashes */
    bool *flag;
    const char **value;
};

enum {
    CMD_OPTIONS_READ = -1, /* go on; any other result of cmd_options is the exit code */
};

/* Takes the options out of argv, leaving the operands in order and their number in *argc. What
 * follows "--" is an operand, and so is "-". Prints help or what is wrong. */
int cmd_options(const struct cmd *cmd, const struct cmd_option *options, size_t n, int *argc,
                char **argv);

#endif
