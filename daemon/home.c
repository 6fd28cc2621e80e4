#include "daemon/home.h"

#include <stdio.h>

static const char *worker_env(const struct config *config, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; config->codex_env[i]; i++)
        if (strncmp(config->codex_env[i], name, n) == 0 && config->codex_env[i][n] == '=')
            return config->codex_env[i] + n + 1;
    return getenv(name);
}

char *home_path(const struct config *config, const char *name)
{
    const char *codex_home = worker_env(config, "CODEX_HOME");
    const char *home = worker_env(config, "HOME");
    bool own = codex_home && *codex_home;
    char *path = NULL;
    if (!own && !home)
        return NULL;
    if (asprintf(&path, "%s%s/%s", own ? codex_home : home, own ? "" : "/.codex", name) < 0)
        return NULL;
    return path;
}
