#include "client/cmd.h"
#include "client/session.h"
#include "client/text.h"
#include "proto/json.h"

#include <stdio.h>

const char cmd_call_help[] =
    "Sends one request and prints its result: over several lines on a terminal, else\n"
    "as it came. PARAMS-JSON is {} unless given. Initializes the connection first,\n"
    "unless METHOD is one of the daemon's own (pool/...). What the daemon tells or\n"
    "asks meanwhile is ignored or refused. The connection ends with the answer, and\n"
    "with it a turn that it started.\n"
    "\n"
    "  codex-pool call model/list\n"
    "  codex-pool call thread/read '{\"threadId\":\"ID\",\"includeTurns\":true}'\n"
    "  codex-pool call pool/acquire '{\"timeoutMs\":5000}'\n"
    "\n"
    "exit: 0 done, 1 the answer is an error, 64 wrong usage, 69 no daemon there,\n"
    "75 the answer is an error that trying again may cure, 130 interrupted\n";

/* A message is one line; in JSON a line break can only be between tokens. */
static char *one_line(const char *json)
{
    char *line = strdup(json);
    for (char *p = line; p && *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    return line;
}

static void print_result(struct slice result)
{
    if (isatty(STDOUT_FILENO)) {
        text_pretty(stdout, result);
    } else {
        fwrite(result.p, 1, result.n, stdout);
        putchar('\n');
    }
}

static int call(struct session *s, const char *method, const char *params)
{
    struct slice result;
    _cleanup_free_ char *line = one_line(params);
    if (!line)
        return session_no_memory();
    bool as_is = strncmp(method, "pool/", 5) == 0 || strcmp(method, "initialize") == 0;
    int code = as_is ? CMD_DONE : session_initialize(s);
    if (code == CMD_DONE)
        code = session_call(s, method, slice_str(line), 0, &result);
    if (code == CMD_DONE)
        print_result(result);
    return code;
}

int cmd_call(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    int code = cmd_options(cmd, NULL, 0, &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc < 1)
        return cmd_usage_error(cmd, "METHOD is missing");
    if (argc > 2)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[2]);
    _cleanup_free_ char *quoted = text_quote(slice_str(argv[0]));
    if (!quoted)
        return session_no_memory();
    if (!argv[0][0] || !json_valid(slice_str(quoted)))
        return cmd_usage_error(cmd, "METHOD is empty or not UTF-8");
    if (argc == 2 && !json_valid(slice_str(argv[1])))
        return cmd_usage_error(cmd, "PARAMS-JSON is not JSON: %s", argv[1]);
    code = session_open(&s, socket, 0);
    if (code == CMD_DONE)
        code = call(&s, argv[0], argc == 2 ? argv[1] : "{}");
    session_close(&s);
    return code;
}
