#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* A worker writes in bursts; a full-sized pipe spares both sides wake-ups. */
#define PIPE_BYTES (1024 * 1024)

struct pipes {
    int in[2], out[2], err[2], exec[2];
};

static void pipes_close(struct pipes *p)
{
    int *all = (int *)p;
    for (size_t i = 0; i < sizeof(*p) / sizeof(int); i++)
        all[i] = cp_close(all[i]);
}

static int pipes_open(struct pipes *p)
{
    memset(p, 0xff, sizeof(*p));
    if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->out, O_CLOEXEC) < 0 ||
        pipe2(p->err, O_CLOEXEC) < 0 || pipe2(p->exec, O_CLOEXEC) < 0) {
        int error = -errno;
        pipes_close(p);
        return error;
    }
    (void)fcntl(p->in[1], F_SETPIPE_SZ, PIPE_BYTES);
    (void)fcntl(p->out[0], F_SETPIPE_SZ, PIPE_BYTES);
    return 0;
}

static const char *env_value(const strings env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; env[i]; i++)
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
            return env[i] + n + 1;
    return NULL;
}

/* The directories of PATH in turn, as execvp does it. */
static char *search(const char *command, const char *path)
{
    int error = ENOENT;
    while (*path) {
        size_t n = strcspn(path, ":");
        char *candidate = NULL;
        struct stat st;
        if (asprintf(&candidate, "%.*s/%s", n ? (int)n : 1, n ? path : ".", command) < 0)
            return NULL;
        if (stat(candidate, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(candidate, X_OK) == 0)
                return candidate;
            error = errno;
        }
        free(candidate);
        path += n + (path[n] == ':');
    }
    errno = error;
    return NULL;
}

char *spawn_resolve(const struct config *config)
{
    const char *command = config->codex_command;
    const char *path = env_value(config->codex_env, "PATH");
    char *resolved = NULL;
    if (!path)
        path = getenv("PATH");
    if (!strchr(command, '/'))
        return search(command, path ? path : "/usr/local/bin:/usr/bin:/bin");
    if (access(command, X_OK) < 0)
        return NULL;
    if (*command == '/')
        return strdup(command);
    /* The worker may run in another directory. */
    _cleanup_free_ char *cwd = getcwd(NULL, 0);
    if (!cwd || asprintf(&resolved, "%s/%s", cwd, command) < 0)
        return NULL;
    return resolved;
}

/* NULL-terminated; the strings are borrowed. */
static const char **build_argv(const struct config *config)
{
    size_t n = 0;
    while (config->codex_args[n])
        n++;
    const char **argv = calloc(n + 2, sizeof(*argv));
    if (!argv)
        return NULL;
    argv[0] = config->codex_command;
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = config->codex_args[i];
    return argv;
}

static bool overridden(const struct config *config, const char *assignment)
{
    size_t n = strcspn(assignment, "=");
    if (n == sizeof(SPAWN_MARK) - 1 && memcmp(assignment, SPAWN_MARK, n) == 0)
        return true;
    for (size_t i = 0; config->codex_env[i]; i++)
        if (strncmp(config->codex_env[i], assignment, n + 1) == 0)
            return true;
    return false;
}

/* The daemon's environment with the configuration's on top; the strings are borrowed. */
static const char **build_env(const struct config *config, const char *mark)
{
    size_t n = 0, own = 0, added = 0;
    while (environ[own])
        own++;
    while (config->codex_env[added])
        added++;
    const char **env = calloc(own + added + 2, sizeof(*env));
    if (!env)
        return NULL;
    for (size_t i = 0; i < own; i++)
        if (!overridden(config, environ[i]))
            env[n++] = environ[i];
    for (size_t i = 0; i < added; i++)
        env[n++] = config->codex_env[i];
    env[n] = mark;
    return env;
}

/* In the child: never returns. */
static void __attribute__((noreturn))
child(const struct config *config, const char *path, const char **argv, const char **env,
      const struct pipes *p, pid_t parent)
{
    sigset_t none;
    (void)setpgid(0, 0);
    /* SIGTERM, since it lets Codex end its shells. The parent may have died just before. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
        _exit(127);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* The daemon's own close by themselves; what its parent left open in it is not for workers. */
    (void)close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    if (dup2(p->in[0], 0) >= 0 && dup2(p->out[1], 1) >= 0 && dup2(p->err[1], 2) >= 0 &&
        (!config->codex_cwd || chdir(config->codex_cwd) == 0))
        (void)execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    int error = errno;
    (void)!write(p->exec[1], &error, sizeof(error));
    _exit(127);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int spawn_codex(const struct config *config, const char *path, const char *mark,
                struct spawned *out)
{
    const char **argv = build_argv(config);
    const char **env = build_env(config, mark);
    struct pipes p;
    pid_t parent = getpid();
    int r = pipes_open(&p);
    if (r == 0 && (!argv || !env))
        r = -ENOMEM;
    if (r == 0)
        r = binary_read(path, &out->binary);
    if (r == 0)
        r = set_nonblocking(p.in[1]);
    if (r == 0)
        r = set_nonblocking(p.out[0]);
    if (r == 0)
        r = set_nonblocking(p.err[0]);
    if (r == 0)
        r = set_nonblocking(p.exec[0]);
    if (r == 0) {
        out->pid = fork();
        if (out->pid == 0)
            child(config, path, argv, env, &p, parent);
        if (out->pid < 0)
            r = -errno;
    }
    if (r == 0) {
        /* In both, so that whoever signals the group first finds it. */
        (void)setpgid(out->pid, out->pid);
        out->stdin_fd = take_fd(&p.in[1]);
        out->stdout_fd = take_fd(&p.out[0]);
        out->stderr_fd = take_fd(&p.err[0]);
        out->exec_fd = take_fd(&p.exec[0]);
    }
    pipes_close(&p);
    free(argv);
    free(env);
    return r;
}

int binary_read(const char *path, struct binary *binary)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    *binary = (struct binary){st.st_dev, st.st_ino, st.st_mtim, st.st_size};
    return 0;
}

bool binary_same(const struct binary *a, const struct binary *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}
