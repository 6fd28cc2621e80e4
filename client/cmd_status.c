#include "client/cmd.h"
#include "client/session.h"
#include "client/status_view.h"

#include <stdio.h>
#include <sys/ioctl.h>

const char cmd_status_help[] =
    "Shows how things are, in a line; the daemon, the pool, the queue; what each\n"
    "worker does (TURN: how long its turn has run, SILENT: since Codex last said\n"
    "something of it, LAST EVENT: what that was); who waits for what, and why; and\n"
    "who is connected.\n"
    "\n"
    "  --json         print the daemon's answer as one JSON document on a line\n"
    "  --watch        again every second until Ctrl-C\n"
    "\n"
    "Colours only on a terminal, and not where NO_COLOR is set.\n"
    "\n"
    "exit: 0 done, also after Ctrl-C with --watch; 69 no daemon there, or no answer\n"
    "in 10 s\n";

#define WATCH_INTERVAL_MS 1000
/* A line that is too long is cut at the edge instead of taking two rows. */
#define NO_WRAP "\033[?7l"
#define WRAP "\033[?7h"

struct status_options {
    bool json, watch;
};

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) &&
           !(terminal && strcmp(terminal, "dumb") == 0);
}

/* Over what is there, as many lines as the screen has, so that nothing scrolls or flickers. */
static void redraw(const char *text)
{
    struct winsize size = {0};
    size_t rows = SIZE_MAX;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1)
        rows = size.ws_row - 1u;
    fputs("\033[H", stdout);
    for (; *text && rows > 0; rows--) {
        size_t n = strcspn(text, "\n");
        printf("%.*s\033[K\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
    fputs("\033[J", stdout);
}

static int show(struct slice result, const struct status_options *o, bool first)
{
    _cleanup_free_ char *text = NULL;
    size_t n;
    if (o->json) {
        printf("%.*s\n", (int)result.n, result.p);
        return CMD_DONE;
    }
    cJSON *status = cJSON_ParseWithLength(result.p, result.n);
    FILE *to = status ? open_memstream(&text, &n) : NULL;
    if (to)
        status_view_print(to, status, wants_colour());
    cJSON_Delete(status);
    if (!to || fclose(to) != 0)
        return session_no_memory();
    bool in_place = o->watch && isatty(STDOUT_FILENO);
    if (in_place && first)
        fputs(NO_WRAP "\033[2J", stdout);
    if (in_place)
        redraw(text);
    else
        printf("%s%s", first ? "" : "\n", text);
    return CMD_DONE;
}

/* Waits for the next round; CMD_DONE when it is time. */
static int pause_watching(struct session *s)
{
    struct session_wait w = {.input = -1, .deadline_ms = session_now() + WATCH_INTERVAL_MS};
    for (;;) {
        struct slice line;
        switch (session_next(s, &w, &line)) {
        case SESSION_TIMEOUT:
            return CMD_DONE;
        case SESSION_SIGNAL:
            return CMD_INTERRUPTED;
        case SESSION_CLOSED:
            return session_lost(s);
        default:
            break;
        }
    }
}

static int watch(struct session *s, const struct status_options *o)
{
    bool first = true;
    for (;;) {
        struct slice result;
        int code = session_call(s, "pool/status", SLICE("{}"), session_now() + SESSION_PATIENCE_MS,
                                &result);
        if (code == CMD_DONE)
            code = show(result, o, first);
        if (fflush(stdout) != 0)
            return CMD_FAILED;
        if (code == CMD_DONE && o->watch)
            code = pause_watching(s);
        else
            return code == CMD_INTERRUPTED && o->watch ? CMD_DONE : code;
        if (code != CMD_DONE)
            return code == CMD_INTERRUPTED ? CMD_DONE : code;
        first = false;
    }
}

int cmd_status(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    struct status_options given = {0};
    const struct cmd_option options[] = {
        {"--json", &given.json, NULL},
        {"--watch", &given.watch, NULL},
    };
    int code = cmd_options(cmd, options, ARRAY_LEN(options), &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc > 0)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[0]);
    code = session_open(&s, socket, 0);
    if (code == CMD_DONE)
        code = watch(&s, &given);
    if (given.watch && !given.json && isatty(STDOUT_FILENO))
        fputs(WRAP, stdout);
    session_close(&s);
    return code;
}
