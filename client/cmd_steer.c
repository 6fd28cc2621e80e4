#include "client/cmd.h"
#include "client/session.h"
#include "proto/json.h"

#include <stdio.h>

/* What takes longer says that it does. */
#define QUIET_MS 1000

/* How a command's operands become the parameters of its method: false where one is wrong. */
typedef bool steer_params(cJSON *params, int argc, char **argv);

struct steering {
    const char *name, *method;
    int least, most; /* operands */
    const char *wrong;
    steer_params *read;
    const char *waits; /* what takes its time; NULL: nothing does */
    const char *done;
};

static bool is_number(const char *text)
{
    size_t n = strlen(text);
    return n >= 1 && n <= 9 && strspn(text, "0123456789") == n;
}

static bool add_number(cJSON *params, const char *name, const char *text)
{
    return is_number(text) && cJSON_AddNumberToObject(params, name, strtod(text, NULL));
}

static bool no_params(cJSON *params, int argc, char **argv)
{
    (void)params;
    (void)argc;
    (void)argv;
    return true;
}

static bool resize_params(cJSON *params, int argc, char **argv)
{
    (void)argc;
    return add_number(params, "size", argv[0]);
}

static bool recycle_params(cJSON *params, int argc, char **argv)
{
    return argc == 0 || strcmp(argv[0], "all") == 0 || add_number(params, "worker", argv[0]);
}

static bool kick_params(cJSON *params, int argc, char **argv)
{
    (void)argc;
    return add_number(params, "client", argv[0]);
}

static bool interrupt_params(cJSON *params, int argc, char **argv)
{
    (void)argc;
    return cJSON_AddStringToObject(params, "threadId", argv[0]);
}

/* An id is a number or a string, as `codex-pool status --json` shows it; what is no JSON is a
 * string without its quotes. */
static bool cancel_params(cJSON *params, int argc, char **argv)
{
    (void)argc;
    bool raw = is_number(argv[1]) || (argv[1][0] == '"' && json_valid(slice_str(argv[1])));
    return add_number(params, "client", argv[0]) &&
           (raw ? cJSON_AddRawToObject(params, "id", argv[1])
                : cJSON_AddStringToObject(params, "id", argv[1]));
}

static bool level_params(cJSON *params, int argc, char **argv)
{
    (void)argc;
    return cJSON_AddStringToObject(params, "level", argv[0]);
}

static const struct steering steerings[] = {
    {"resize", "pool/resize", 1, 1, "N must be a whole number", resize_params,
     "until new workers are ready, or turns on those beyond have ended", "the pool has its size"},
    {"recycle", "pool/recycle", 0, 1, "WORKER must be a worker's number, or all", recycle_params,
     "until their turns have ended and the new ones are ready", "replaced"},
    {"pause", "pool/pause", 0, 0, NULL, no_params, NULL,
     "paused: running turns go on, the queue holds"},
    {"resume", "pool/resume", 0, 0, NULL, no_params, NULL, "the queue goes on"},
    {"drain", "pool/drain", 0, 0, NULL, no_params, "until the queue is empty and no turn runs",
     "drained: nothing runs, nothing new is taken; `codex-pool resume` ends that"},
    {"cancel", "pool/cancel", 2, 2, "CLIENT must be a client's number, and ID the request's id",
     cancel_params, NULL, "cancelled"},
    {"interrupt", "pool/interrupt", 1, 1, "THREAD must be a thread's id", interrupt_params,
     "until the turn has ended", "interrupted"},
    {"kick", "pool/kick", 1, 1, "CLIENT must be a client's number", kick_params,
     "until what it had is cleaned up", "dropped"},
    {"reload", "pool/reload", 0, 0, NULL, no_params, NULL, "the settings are read"},
    {"log-level", "pool/logLevel", 1, 1, "LEVEL must be error, warn, info, debug or trace",
     level_params, NULL, "the log's level is set"},
};

/* How the helps end. */
#define ANSWER                                                                                     \
    "  --json         print the daemon's answer\n"                                                 \
    "\n"
#define WAITS                                                                                      \
    "For administrators (the daemon's setting adminUids). Ctrl-C only stops waiting.\n"            \
    "\n"                                                                                           \
    "exit: 0 done, 1 refused or failed, 64 wrong usage, 69 no daemon there, 75 try\n"              \
    "again, 130 interrupted\n"
#define AT_ONCE                                                                                    \
    "For administrators (the daemon's setting adminUids).\n"                                       \
    "\n"                                                                                           \
    "exit: 0 done, 1 refused or failed, 64 wrong usage, 69 no daemon there\n"

const char cmd_resize_help[] =
    "Changes the number of workers, until the daemon reads its settings again. More:\n"
    "ends when the new ones are ready. Fewer: those beyond are stopped as soon as\n"
    "their turns have ended and the threads that are open there have moved elsewhere;\n"
    "nothing that runs or waits is lost.\n"
    "\n" ANSWER WAITS;

const char cmd_recycle_help[] =
    "Replaces a worker, or all, one after the other, each when its turn has ended and\n"
    "the threads that are open there have moved elsewhere. One that waits for its\n"
    "next start after a failure is started at once. Ends when the new ones are ready.\n"
    "`codex-pool status` shows what is in the way.\n"
    "\n" ANSWER WAITS;

const char cmd_pause_help[] =
    "Holds the queue: nobody gets a worker that has none, turns that run go on, and\n"
    "whoever has a worker keeps it. Until `codex-pool resume`.\n"
    "\n" ANSWER AT_ONCE;

const char cmd_resume_help[] = "Ends `codex-pool pause` and `codex-pool drain`.\n"
                               "\n" ANSWER AT_ONCE;

const char cmd_drain_help[] =
    "Takes nothing new: whoever waits already is served, turns that run go on, any\n"
    "other request for a worker is refused, as worth trying again. Ends when nothing\n"
    "runs or waits any more. Until `codex-pool resume`.\n"
    "\n" ANSWER WAITS;

const char cmd_cancel_help[] =
    "Takes a request out of the queue: CLIENT and ID as `codex-pool status --json`\n"
    "has them among the waiters. Its client is told that it was aborted.\n"
    "\n" ANSWER "For administrators (the daemon's setting adminUids).\n"
    "\n"
    "exit: 0 done, 1 refused, or no such request waits, 64 wrong usage, 69 no daemon\n"
    "there\n";

const char cmd_interrupt_help[] =
    "Interrupts the turn that runs on a thread, whoever started it. Ends when the\n"
    "turn has; a worker that does not end it in time is replaced.\n"
    "\n" ANSWER "For administrators (the daemon's setting adminUids). Ctrl-C only stops waiting.\n"
    "\n"
    "exit: 0 done, 1 refused, or no turn runs there, 64 wrong usage, 69 no daemon\n"
    "there, 75 try again, 130 interrupted\n";

const char cmd_kick_help[] =
    "Drops a client's connection, which aborts all that it had. Ends when the workers\n"
    "that it held are clean.\n"
    "\n" ANSWER WAITS;

const char cmd_reload_help[] =
    "Makes the daemon read its settings again, as SIGHUP does, and says what is wrong\n"
    "with them. All are the file's again, also the number of workers and the log's\n"
    "level.\n"
    "\n" ANSWER "For administrators (the daemon's setting adminUids).\n"
    "\n"
    "exit: 0 done, 1 refused, or something is wrong with them, 64 wrong usage, 69 no\n"
    "daemon there\n";

const char cmd_log_level_help[] =
    "Sets the level of the daemon's log: error, warn, info, debug or trace; until it\n"
    "reads its settings again.\n"
    "\n" ANSWER AT_ONCE;

/* It is there: main.c and this table have the same names. */
static const struct steering *find(const char *name)
{
    size_t i = 0;
    while (strcmp(steerings[i].name, name) != 0)
        i++;
    return &steerings[i];
}

/* What was asked for was not there to be done. */
static bool did_nothing(struct slice result)
{
    return slice_is(json_get(result, "cancelled"), "false") ||
           slice_is(json_get(result, "interrupted"), "false");
}

static int report(const struct steering *k, struct slice result, bool json)
{
    bool nothing = did_nothing(result);
    if (json)
        printf("%.*s\n", (int)result.n, result.p);
    else if (nothing)
        fprintf(stderr, "codex-pool %s: nothing to do: %s\n", k->name,
                k->read == cancel_params ? "no such request waits" : "no turn runs there");
    else
        printf("%s\n", k->done);
    return nothing ? CMD_FAILED : CMD_DONE;
}

/* Waits for as long as it takes; after a moment says for what. */
static int call(struct session *s, const struct steering *k, const char *params, bool json)
{
    struct slice result;
    char waiting[160] = "";
    if (k->waits)
        (void)snprintf(waiting, sizeof(waiting), "%s: waiting %s; Ctrl-C only stops waiting\n",
                       k->name, k->waits);
    int code = session_call_patiently(s, k->method, slice_str(params), QUIET_MS,
                                      k->waits ? waiting : NULL, &result);
    return code == CMD_DONE ? report(k, result, json) : code;
}

int cmd_steer(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    bool json = false;
    const struct steering *k = find(cmd->name);
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    int code = cmd_options(cmd, options, ARRAY_LEN(options), &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc < k->least)
        return cmd_usage_error(cmd, "an argument is missing");
    if (argc > k->most)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[k->most]);
    cJSON *params = cJSON_CreateObject();
    bool read = params && k->read(params, argc, argv);
    _cleanup_free_ char *text = read ? cJSON_PrintUnformatted(params) : NULL;
    cJSON_Delete(params);
    if (!read)
        return cmd_usage_error(cmd, "%s", k->wrong);
    if (!text || !json_valid(slice_str(text)))
        return text ? cmd_usage_error(cmd, "an argument is not UTF-8") : session_no_memory();
    code = session_open(&s, socket, 0);
    if (code == CMD_DONE)
        code = call(&s, k, text, json);
    session_close(&s);
    return code;
}
