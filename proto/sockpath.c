#include "proto/sockpath.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

/* More than any configuration needs; a client does not read on for ever. */
#define CONFIG_MAX_BYTES ((size_t)1024 * 1024)

/* The environment variable, or NULL where it is not set or empty. */
static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int copy(const char *text, char **path)
{
    *path = strdup(text);
    return *path ? 0 : -ENOMEM;
}

static int join(const char *directory, const char *name, char **path)
{
    if (asprintf(path, "%s/codex-pool/%s", directory, name) < 0) {
        *path = NULL;
        return -ENOMEM;
    }
    return 0;
}

int sockpath_config_file(const char *flag, char **path)
{
    static const char system_wide[] = "/etc/codex-pool/config.json";
    const char *home = env("XDG_CONFIG_HOME");
    *path = NULL;
    if (flag && *flag)
        return copy(flag, path);
    if (home) {
        _cleanup_free_ char *candidate = NULL;
        int r = join(home, "config.json", &candidate);
        if (r < 0)
            return r;
        if (access(candidate, F_OK) == 0) {
            *path = take_ptr(candidate);
            return 0;
        }
    }
    return access(system_wide, F_OK) == 0 ? copy(system_wide, path) : 0;
}

int sockpath_find(const char *flag, const char *configured, char **path)
{
    const char *variable = env("CODEX_POOL_SOCKET");
    const char *runtime = env("XDG_RUNTIME_DIR");
    *path = NULL;
    if (flag && *flag)
        return copy(flag, path);
    if (variable)
        return copy(variable, path);
    if (configured && *configured)
        return copy(configured, path);
    return join(runtime ? runtime : "/run", "codex-pool.sock", path);
}

/* The whole file as a heap string; NULL where it cannot be had. */
static char *read_file(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_free_ char *text = fd >= 0 ? malloc(CONFIG_MAX_BYTES + 1) : NULL;
    size_t n = 0;
    while (text && n < CONFIG_MAX_BYTES) {
        ssize_t got = read(fd, text + n, CONFIG_MAX_BYTES - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        if (got == 0) {
            text[n] = '\0';
            return take_ptr(text);
        }
        n += (size_t)got;
    }
    return NULL;
}

/* The configuration's "socket" as a heap string in *socket, NULL where it says nothing. */
static int configured_socket(char **socket)
{
    _cleanup_free_ char *file = NULL;
    *socket = NULL;
    int r = sockpath_config_file(NULL, &file);
    if (r < 0 || !file)
        return r;
    _cleanup_free_ char *text = read_file(file);
    cJSON *config = text ? cJSON_Parse(text) : NULL;
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(config, "socket"));
    if (value)
        r = copy(value, socket);
    cJSON_Delete(config);
    return r;
}

int sockpath_find_for_client(const char *flag, char **path)
{
    _cleanup_free_ char *configured = NULL;
    *path = NULL;
    if ((!flag || !*flag) && !env("CODEX_POOL_SOCKET")) {
        int r = configured_socket(&configured);
        if (r < 0)
            return r;
    }
    return sockpath_find(flag, configured, path);
}

int sockpath_address(const char *path, struct sockaddr_un *address)
{
    size_t n = strlen(path);
    if (n >= sizeof(address->sun_path))
        return -ENAMETOOLONG;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, n + 1);
    return 0;
}
