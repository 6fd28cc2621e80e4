#include "client/as_codex.h"
#include "client/cmd.h"

#include "proto/sockpath.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

static const struct cmd commands[] = {
    {"run",
     "[--socket PATH] run [--thread ID] [--cwd DIR] [--json]\n"
     "                  [--approve never|ask|always] [--] PROMPT|-",
     cmd_run_help, cmd_run},
    {"app-server", "[--socket PATH] app-server [ANY CODEX FLAGS]", cmd_app_server_help,
     cmd_app_server},
    {"status", "[--socket PATH] status [--json] [--watch]", cmd_status_help, cmd_status},
    {"top", "[--socket PATH] top", cmd_top_help, cmd_top},
    {"trace",
     "[--socket PATH] trace [--client N] [--worker N] [--thread ID]\n"
     "                  [--method GLOB] [--full] [--json]",
     cmd_trace_help, cmd_trace},
    {"locks", "[--socket PATH] locks [--json]", cmd_locks_help, cmd_locks},
    {"ping", "[--socket PATH] ping", cmd_ping_help, cmd_ping},
    {"call", "[--socket PATH] call METHOD [PARAMS-JSON]", cmd_call_help, cmd_call},
    {"resize", "[--socket PATH] resize [--json] N", cmd_resize_help, cmd_steer},
    {"recycle", "[--socket PATH] recycle [--json] [WORKER|all]", cmd_recycle_help, cmd_steer},
    {"pause", "[--socket PATH] pause [--json]", cmd_pause_help, cmd_steer},
    {"resume", "[--socket PATH] resume [--json]", cmd_resume_help, cmd_steer},
    {"drain", "[--socket PATH] drain [--json]", cmd_drain_help, cmd_steer},
    {"cancel", "[--socket PATH] cancel [--json] CLIENT ID", cmd_cancel_help, cmd_steer},
    {"interrupt", "[--socket PATH] interrupt [--json] THREAD", cmd_interrupt_help, cmd_steer},
    {"kick", "[--socket PATH] kick [--json] CLIENT", cmd_kick_help, cmd_steer},
    {"reload", "[--socket PATH] reload [--json]", cmd_reload_help, cmd_steer},
    {"log-level", "[--socket PATH] log-level [--json] LEVEL", cmd_log_level_help, cmd_steer},
};

static const char usage[] = "usage: codex-pool [--socket PATH] COMMAND [ARGUMENT]...\n";

static const char help[] =
    "\n"
    "Talks to codex-poold, which keeps warm Codex workers behind a socket.\n"
    "\n"
    "  run PROMPT|-   run one turn and stream its text\n"
    "  app-server     be a `codex app-server` on stdin and stdout, served by the pool\n"
    "  status         who runs, who waits\n"
    "  top            the same all the time, and what to do about it\n"
    "  trace          the messages that go by, live\n"
    "  locks          who holds which thread\n"
    "  ping           is the daemon there\n"
    "  call METHOD    send any request and print its result\n"
    "\n"
    "for administrators: pause, resume, drain, resize N, recycle [WORKER|all],\n"
    "  interrupt THREAD, cancel CLIENT ID, kick CLIENT, reload, log-level LEVEL\n"
    "\n"
    "  --socket PATH  the daemon's socket; else $CODEX_POOL_SOCKET, else \"socket\" in\n"
    "                 the settings, else codex-pool/codex-pool.sock in\n"
    "                 $XDG_RUNTIME_DIR or in /run\n"
    "  --version      print the version\n"
    "  --help         print this; COMMAND --help tells more of a command\n"
    "\n"
    "exit: 0 done, 1 the turn or the request failed, 64 wrong usage, 69 no daemon\n"
    "there, 75 queue full, timed out or shutting down: try again, 130 interrupted\n";

/* A descriptor that the caller closed must not be given to the socket. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    cp_close(fd);
}

static int usage_error(const char *what, const char *which)
{
    fprintf(stderr, "codex-pool: %s%s%s%s\n%s", what, which ? " '" : "", which ? which : "",
            which ? "'" : "", usage);
    fputs("commands:", stderr);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(stderr, "%s %s", i ? "," : "", commands[i].name);
    fputs("; --help tells more\n", stderr);
    return CMD_USAGE;
}

static const struct cmd *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_own(const char *flag, int argc, char **argv)
{
    _cleanup_free_ char *socket = NULL;
    const struct cmd *cmd = find_command(argv[0]);
    if (!cmd)
        return usage_error("unknown command", argv[0]);
    if (sockpath_find_for_client(flag, &socket) < 0) {
        fputs("codex-pool: out of memory\n", stderr);
        return CMD_FAILED;
    }
    return cmd->run(cmd, socket, argc - 1, argv + 1);
}

/* A command line of codex's; argv[0] stands for the program. */
static int run_as_codex(const char *flag, int argc, char **argv)
{
    static char name[] = "app-server";
    char **flags = NULL;
    int n = 0;
    int code = as_codex(argc, argv, &flags, &n);
    if (code != AS_CODEX_SERVED)
        return code;
    /* There is room for one more. */
    memmove(flags + 1, flags, (size_t)n * sizeof(*flags));
    flags[0] = name;
    code = run_own(flag, n + 1, flags);
    free(flags);
    return code;
}

/* A program that takes us for codex looks for codex's flags in it. */
static int help_of_both(int argc, char **argv)
{
    (void)cmd_print_help(find_command("app-server"));
    if (!as_codex_has_other())
        return CMD_DONE;
    puts("\nAnd what codex itself has:\n");
    return fflush(stdout) == 0 ? run_as_codex(NULL, argc, argv) : CMD_FAILED;
}

static int run_command(const char *flag, int argc, char **argv)
{
    if (argc == 0)
        return usage_error("a command is missing", NULL);
    bool server = strcmp(argv[0], "app-server") == 0;
    if (server && argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return help_of_both(argc + 1, argv - 1);
    if (server || (!find_command(argv[0]) && as_codex_knows(argv[0])))
        return run_as_codex(flag, argc + 1, argv - 1);
    if (argv[0][0] == '-')
        return usage_error("unknown option", argv[0]);
    return run_own(flag, argc, argv);
}

static int dispatch(int argc, char **argv)
{
    const char *socket = NULL;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            printf("%s%s", usage, help);
            return CMD_DONE;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("codex-pool " CP_VERSION);
            return CMD_DONE;
        }
        if (strncmp(argv[i], "--socket=", 9) == 0)
            socket = argv[i] + 9;
        else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
            socket = argv[++i];
        else if (strcmp(argv[i], "--socket") == 0)
            return usage_error("a path is missing after", argv[i]);
        else
            break;
        if (!*socket)
            return usage_error("the path is empty after", "--socket");
    }
    return run_command(socket, argc - i, argv + i);
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN);
    int code = as_codex_called(argv[0]) ? run_as_codex(NULL, argc, argv) : dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE)
            perror("codex-pool: cannot write to stdout");
        return code ? code : CMD_FAILED;
    }
    return code;
}
