#include "client/cmd.h"
#include "client/human.h"
#include "client/session.h"
#include "client/text.h"
#include "proto/json.h"

#include <stdio.h>
#include <time.h>

const char cmd_ping_help[] =
    "Asks the daemon whether it is there: its version, process id and uptime, and how\n"
    "long the answer took. Needs no worker.\n"
    "\n"
    "exit: 0 it answered; 69 no daemon there, or no answer in 10 s\n";

static double milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int cmd_ping(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    struct slice result;
    int code = cmd_options(cmd, NULL, 0, &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc > 0)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[0]);
    code = session_open(&s, socket, 0);
    double before = milliseconds();
    if (code == CMD_DONE)
        code = session_call(&s, "pool/ping", SLICE("{}"), session_now() + SESSION_PATIENCE_MS,
                            &result);
    if (code == CMD_DONE) {
        struct slice pid = json_get(result, "pid");
        printf("codex-poold ");
        text_show_raw(stdout, json_get_text(result, "version"), "");
        printf(", pid %.*s, up ", (int)pid.n, pid.n ? pid.p : "");
        human_duration(stdout, (double)session_id(json_get(result, "uptimeMs")));
        printf(", answered in %.2f ms\n", milliseconds() - before);
    }
    session_close(&s);
    return code;
}
