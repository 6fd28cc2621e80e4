#include "client/as_codex.h"

#include "client/cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

/* Set for what we become, with its pid: that it becomes us again must not go on for ever. */
#define MARK "CODEX_POOL_BECAME_CODEX"

/* Flags of codex whose value is a word of its own. */
static const char *const valued[] = {
    "-c",
    "--config",
    "--enable",
    "--disable",
    "--remote",
    "--remote-auth-token-env",
    "-i",
    "--image",
    "-m",
    "--model",
    "--local-provider",
    "-p",
    "--profile",
    "-s",
    "--sandbox",
    "-a",
    "--ask-for-approval",
    "-C",
    "--cd",
    "--add-dir",
    "--listen",
    "--startup-client-info",
    "--cloud-skills-snapshot",
    "--code-mode-host",
    "--ws-auth",
    "--ws-token-file",
    "--ws-token-sha256",
    "--ws-shared-secret-file",
    "--ws-issuer",
    "--ws-audience",
    "--ws-max-clock-skew-seconds",
};

/* What `codex app-server` has behind it. */
static const char *const server_commands[] = {
    "daemon", "proxy", "generate-ts", "generate-json-schema", "generate-internal-json-schema",
    "help",
};

static const char *const commands[] = {
    "agents",     "exec",
    "e",          "review",
    "login",      "logout",
    "mcp",        "mcp-server",
    "plugin",     "remote-control",
    "completion", "update",
    "doctor",     "sandbox",
    "debug",      "apply",
    "a",          "resume",
    "queue",      "archive",
    "delete",     "migrate-rollouts",
    "unarchive",  "fork",
    "cloud",      "exec-server",
    "features",
};

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

bool as_codex_called(const char *program)
{
    const char *slash = program ? strrchr(program, '/') : NULL;
    return program && strcmp(slash ? slash + 1 : program, "codex") == 0;
}

bool as_codex_knows(const char *word)
{
    if (strncmp(word, "-c", 2) == 0 || strncmp(word, "--config=", 9) == 0)
        return true;
    return strcmp(word, "--config") == 0 || strcmp(word, "--enable") == 0 ||
           strcmp(word, "--disable") == 0 || is_one_of(word, commands, ARRAY_LEN(commands));
}

/* Whether our parent is the daemon, which wants a worker and not itself. */
static bool is_worker(void)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof(link), "/proc/%ld/exe", (long)getppid());
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    const char *slash = strrchr(path, '/');
    return slash && strncmp(slash + 1, "codex-poold", 11) == 0;
}

/* A flag that makes it no server on standard input and output, or none at all. */
static bool is_other_server(const char *word, const char *next)
{
    static const char listen[] = "--listen=";
    if (strcmp(word, "--listen") == 0)
        return !next || strcmp(next, "stdio://") != 0;
    if (strncmp(word, listen, sizeof(listen) - 1) == 0)
        return strcmp(word + sizeof(listen) - 1, "stdio://") != 0;
    return strcmp(word, "--print-startup-config") == 0 || strcmp(word, "--help") == 0 ||
           strcmp(word, "-h") == 0 || strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

/* Behind `app-server`: the value of a flag that is not known here, and no command. */
static bool may_be_value(const char *before, const char *word)
{
    return before[0] == '-' && !strchr(before, '=') &&
           !is_one_of(word, server_commands, ARRAY_LEN(server_commands));
}

/* Gathers the flags; false where it is anything but the server that the pool is. */
static bool is_served(int argc, char **argv, char **flags, int *n)
{
    bool server = false;
    for (int i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-';
        if (!flag && server && may_be_value(argv[i - 1], argv[i])) {
            flags[(*n)++] = argv[i];
            continue;
        }
        if (!flag && (server || strcmp(argv[i], "app-server") != 0))
            return false;
        if (!flag) {
            server = true;
            continue;
        }
        if (is_other_server(argv[i], argv[i + 1]))
            return false;
        flags[(*n)++] = argv[i];
        if (is_one_of(argv[i], valued, ARRAY_LEN(valued)) && i + 1 < argc)
            flags[(*n)++] = argv[++i];
    }
    return server;
}

/* A program named codex in one directory of PATH that is not this one; NULL if there is none. */
static char *codex_in(struct slice directory, const struct stat *self)
{
    char *path = NULL;
    struct stat found;
    if (directory.n == 0)
        directory = SLICE(".");
    if (asprintf(&path, "%.*s/codex", (int)directory.n, directory.p) < 0)
        return NULL;
    bool usable = stat(path, &found) == 0 && S_ISREG(found.st_mode) && access(path, X_OK) == 0;
    if (usable && (found.st_dev != self->st_dev || found.st_ino != self->st_ino))
        return path;
    free(path);
    return NULL;
}

static char *find_codex(void)
{
    const char *path = getenv("PATH");
    struct stat self;
    if (!path || stat("/proc/self/exe", &self) != 0)
        return NULL;
    for (;;) {
        size_t n = strcspn(path, ":");
        char *codex = codex_in((struct slice){path, n}, &self);
        if (codex || !path[n])
            return codex;
        path += n + 1;
    }
}

bool as_codex_has_other(void)
{
    char *codex = find_codex();
    free(codex);
    return codex != NULL;
}

static int become_codex(char **argv)
{
    char pid[32];
    const char *mark = getenv(MARK);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    if (mark && strcmp(mark, pid) == 0) {
        fputs("codex-pool: the codex in PATH leads back to codex-pool\n", stderr);
        return CMD_NO_DAEMON;
    }
    _cleanup_free_ char *codex = find_codex();
    if (!codex) {
        fputs("codex-pool: this is for codex itself, and there is no other codex in PATH\n",
              stderr);
        return CMD_NO_DAEMON;
    }
    (void)setenv(MARK, pid, 1);
    (void)signal(SIGPIPE, SIG_DFL);
    argv[0] = codex;
    execv(codex, argv);
    fprintf(stderr, "codex-pool: cannot run %s: %s\n", codex, strerror(errno));
    return CMD_NO_DAEMON;
}

int as_codex(int argc, char **argv, char ***flags, int *n)
{
    *n = 0;
    *flags = calloc((size_t)argc + 1, sizeof(**flags));
    if (!*flags) {
        fputs("codex-pool: out of memory\n", stderr);
        return CMD_FAILED;
    }
    if (is_served(argc, argv, *flags, n) && !is_worker())
        return AS_CODEX_SERVED;
    free(*flags);
    *flags = NULL;
    return become_codex(argv);
}
