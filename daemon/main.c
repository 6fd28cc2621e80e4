#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>

static const char help[] =
    "usage: codex-poold [OPTION]...\n"
    "Keeps a pool of warm `codex app-server` workers and serves them over a Unix\n"
    "socket.\n"
    "\n"
    "  --config FILE      settings; else $XDG_CONFIG_HOME/codex-pool/config.json,\n"
    "                     else /etc/codex-pool/config.json; none is needed\n"
    "  --socket PATH      where to listen; else $CODEX_POOL_SOCKET, the settings,\n"
    "                     $XDG_RUNTIME_DIR/codex-pool/codex-pool.sock,\n"
    "                     else /run/codex-pool/codex-pool.sock\n"
    "  --pool-size N      workers at most (default 2)\n"
    "  --codex PATH       the codex command (default: codex, from PATH)\n"
    "  --log-level LEVEL  error, warn, info, debug or trace\n"
    "  --log-format NAME  text or json\n"
    "  --check-config     print the effective settings as JSON and exit; 78 where\n"
    "                     they are wrong, and why\n"
    "  --version, --help\n"
    "\n"
    "Runs in the foreground and logs to stderr. SIGTERM stops it after running turns\n"
    "have finished, a second one at once; SIGHUP reads the settings again.\n"
    "Talk to it with codex-pool: `codex-pool status`, `codex-pool run PROMPT`.\n";

enum option_id {
    OPT_CONFIG = 256,
    OPT_SOCKET,
    OPT_POOL_SIZE,
    OPT_CODEX,
    OPT_LOG_LEVEL,
    OPT_LOG_FORMAT,
    OPT_CHECK,
    OPT_VERSION,
    OPT_HELP
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"pool-size", required_argument, NULL, OPT_POOL_SIZE},
    {"codex", required_argument, NULL, OPT_CODEX},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

struct command_line {
    struct config_flags flags;
    bool check;
    int exit_code; /* -1: go on */
};

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "codex-poold: %s%s%s (see codex-poold --help)\n", what, value ? ": " : "",
            value ? value : "");
    return EX_USAGE;
}

static int take_option(struct command_line *cl, int id)
{
    char *end;
    switch (id) {
    case OPT_CONFIG:
        cl->flags.file = optarg;
        break;
    case OPT_SOCKET:
        cl->flags.socket = optarg;
        break;
    case OPT_CODEX:
        if (!*optarg)
            return usage("--codex must not be empty", NULL);
        cl->flags.codex = optarg;
        break;
    case OPT_POOL_SIZE:
        errno = 0;
        cl->flags.pool_size = strtoll(optarg, &end, 10);
        if (errno || end == optarg || *end || cl->flags.pool_size < 1 || cl->flags.pool_size > 256)
            return usage("--pool-size must be a whole number from 1 to 256", optarg);
        break;
    case OPT_LOG_LEVEL:
        if ((cl->flags.log_level = log_level_parse(optarg)) < 0)
            return usage("--log-level must be error, warn, info, debug or trace", optarg);
        break;
    case OPT_LOG_FORMAT:
        if ((cl->flags.log_format = log_format_parse(optarg)) < 0)
            return usage("--log-format must be text or json", optarg);
        break;
    case OPT_CHECK:
        cl->check = true;
        break;
    case OPT_VERSION:
        printf("codex-poold %s\n", CP_VERSION);
        return EX_OK;
    case OPT_HELP:
        fputs(help, stdout);
        return EX_OK;
    default:
        fputs("Try: codex-poold --help\n", stderr);
        return EX_USAGE;
    }
    return -1;
}

static void parse(struct command_line *cl, int argc, char **argv)
{
    int id;
    *cl = (struct command_line){.exit_code = -1, .flags = {.log_level = -1, .log_format = -1}};
    while (cl->exit_code < 0 && (id = getopt_long(argc, argv, "", options, NULL)) != -1)
        cl->exit_code = take_option(cl, id);
    if (cl->exit_code < 0 && optind < argc)
        cl->exit_code = usage("unexpected argument", argv[optind]);
}

static int print_config(struct config *config)
{
    _cleanup_free_ char *text = config_print(config);
    config_free(config);
    return text && puts(text) >= 0 && fflush(stdout) == 0 ? EX_OK : EX_OSERR;
}

/* Whatever is opened later must not become standard input, output or error. */
static void open_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

/* What a long message has taken is given back to the system when it has passed; left to itself,
 * glibc keeps ever longer blocks. What a stream takes again and again is not: each page of it would
 * be cleared anew. */
static void return_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
}

/* Every client and worker takes descriptors. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct command_line cl;
    struct server server;
    _cleanup_free_ char *error = NULL;
    open_standard_fds();
    parse(&cl, argc, argv);
    if (cl.exit_code >= 0)
        return cl.exit_code;
    struct config *config = config_load(&cl.flags, &error);
    if (!config) {
        fprintf(stderr, "codex-poold: %s\n", error ? error : "out of memory");
        return EX_CONFIG;
    }
    if (cl.check)
        return print_config(config);
    return_memory();
    raise_fd_limit();
    int code = server_init(&server, config, &cl.flags);
    if (code == EX_OK)
        code = server_run(&server);
    server_deinit(&server);
    return code;
}
