#include "daemon/config.h"

#include "proto/json.h"
#include "proto/sockpath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define MS_MAX INT64_C(31536000000) /* a year */
#define FILE_MAX_BYTES ((size_t)1024 * 1024)

/* What a setting is checked and filled in with; a failure is one message. */
struct reader {
    struct config *config;
    const char *name; /* of the file */
    char *error;
};

static bool fail(struct reader *r, const char *format, ...) CP_PRINTF(2, 3);

static bool fail(struct reader *r, const char *format, ...)
{
    char message[1024];
    va_list args;
    if (r->error)
        return false;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (asprintf(&r->error, "%s: %s", r->name, message) < 0)
        r->error = NULL;
    return false;
}

static const struct {
    const char *key;
    size_t at;
    int64_t min, max, otherwise;
} numbers[] = {
#define NUMBER(key, member, min, max, otherwise)                                                   \
    {                                                                                              \
        key, offsetof(struct config, member), min, max, otherwise                                  \
    }
    NUMBER("poolSize", pool_size, 1, CONFIG_POOL_SIZE_MAX, 2),
    NUMBER("minWorkers", min_workers, 0, CONFIG_POOL_SIZE_MAX, 1),
    NUMBER("idleTimeoutMs", idle_timeout_ms, 0, MS_MAX, 300000),
    NUMBER("acquireTimeoutMs", acquire_timeout_ms, 0, MS_MAX, 0),
    NUMBER("maxQueue", max_queue, 0, 1000000, 1024),
    NUMBER("maxWaitersPerUid", max_waiters_per_uid, 0, 1000000, 0),
    NUMBER("maxLeasesPerUid", max_leases_per_uid, 0, 256, 0),
    NUMBER("maxClients", max_clients, 1, 1000000, 4096),
    NUMBER("maxMessageBytes", max_message_bytes, 1024, INT64_C(1073741824), 67108864),
    NUMBER("openLingerMs", open_linger_ms, 0, MS_MAX, 1000),
    NUMBER("interruptTimeoutMs", interrupt_timeout_ms, 1, MS_MAX, 10000),
    NUMBER("startTimeoutMs", start_timeout_ms, 1, MS_MAX, 30000),
    NUMBER("drainTimeoutMs", drain_timeout_ms, 0, MS_MAX, 30000),
    NUMBER("clientStallTimeoutMs", client_stall_timeout_ms, 1, MS_MAX, 60000),
    NUMBER("maxParked", max_parked, 0, CONFIG_MAX_PARKED_MAX, 0),
    NUMBER("maxParkedClients", max_parked_clients, 0, 1000000, 64),
    NUMBER("maxParkedPerUid", max_parked_per_uid, 0, 1000000, 0),
    NUMBER("maxParkedMs", max_parked_ms, 1, MS_MAX, 3600000),
    NUMBER("maxParkedBytes", max_parked_bytes, 1024, INT64_C(1073741824), 4194304),
    NUMBER("maxStreamsPerWorker", max_streams_per_worker, 0, INT64_C(1000000000), 0),
    NUMBER("maxWorkerRssBytes", max_worker_rss_bytes, 0, INT64_MAX / 1024, 0),
    NUMBER("maxWorkerAgeMs", max_worker_age_ms, 0, MS_MAX, 0),
    NUMBER("maxTurnMs", max_turn_ms, 0, MS_MAX, 0),
    NUMBER("turnStallTimeoutMs", turn_stall_timeout_ms, 0, MS_MAX, 0),
#undef NUMBER
};

static int64_t *number_at(struct config *c, size_t i)
{
    return (int64_t *)(void *)((char *)c + numbers[i].at);
}

const char *config_number(const struct config *c, size_t i, int64_t *value)
{
    if (i >= ARRAY_LEN(numbers))
        return NULL;
    *value = *number_at((struct config *)(uintptr_t)c, i);
    return numbers[i].key;
}

void strings_free(strings list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static strings strings_copy(const char *const *from)
{
    size_t n = 0;
    while (from[n])
        n++;
    strings list = calloc(n + 1, sizeof(*list));
    for (size_t i = 0; list && i < n; i++) {
        list[i] = strdup(from[i]);
        if (!list[i]) {
            strings_free(list);
            return NULL;
        }
    }
    return list;
}

static int64_t *ids_of(const int64_t *from, size_t n)
{
    int64_t *ids = calloc(n + 1, sizeof(*ids));
    if (!ids)
        return NULL;
    for (size_t i = 0; i < n; i++)
        ids[i] = from[i];
    ids[n] = -1;
    return ids;
}

static cJSON *default_client_info(void)
{
    cJSON *info = cJSON_CreateObject();
    if (info && cJSON_AddStringToObject(info, "name", "codex-pool") &&
        cJSON_AddStringToObject(info, "title", "Codex Pool") &&
        cJSON_AddStringToObject(info, "version", CP_VERSION))
        return info;
    cJSON_Delete(info);
    return NULL;
}

static bool set_defaults(struct config *c)
{
    static const char *const args[] = {"-c", "thread_unload_delay_secs=0", "app-server", NULL};
    static const char *const none[] = {NULL};
    int64_t own[] = {(int64_t)geteuid(), 0};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        *number_at(c, i) = numbers[i].otherwise;
    c->socket_mode = 0600;
    c->prewarm = true;
    c->moves = MOVES_AUTO;
    c->log_level = LOG_INFO;
    c->log_format = LOG_TEXT;
    c->codex_command = strdup("codex");
    c->codex_args = strings_copy(args);
    c->codex_env = strings_copy(none);
    c->client_info = default_client_info();
    c->allow_uids = ids_of(own, own[0] == 0 ? 1 : 2);
    c->allow_gids = ids_of(NULL, 0);
    c->admin_uids = ids_of(own, own[0] == 0 ? 1 : 2);
    c->deny_methods = strings_copy(none);
    return c->codex_command && c->codex_args && c->codex_env && c->client_info && c->allow_uids &&
           c->allow_gids && c->admin_uids && c->deny_methods;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free(c->file);
    free(c->socket);
    free(c->codex_command);
    free(c->codex_cwd);
    strings_free(c->codex_args);
    strings_free(c->codex_env);
    strings_free(c->deny_methods);
    cJSON_Delete(c->client_info);
    free(c->allow_uids);
    free(c->allow_gids);
    free(c->admin_uids);
    free(c);
}

static bool read_bool(struct reader *r, const char *key, const cJSON *v, bool *to)
{
    if (!cJSON_IsBool(v))
        return fail(r, "%s: must be true or false", key);
    *to = cJSON_IsTrue(v);
    return true;
}

static bool read_string(struct reader *r, const char *key, const cJSON *v, char **to)
{
    if (!cJSON_IsString(v) || !*v->valuestring)
        return fail(r, "%s: must be a string that is not empty", key);
    char *copy = strdup(v->valuestring);
    if (!copy)
        return fail(r, "%s: out of memory", key);
    free(*to);
    *to = copy;
    return true;
}

static bool is_whole(const cJSON *v, int64_t min, int64_t max)
{
    return cJSON_IsNumber(v) && v->valuedouble == floor(v->valuedouble) &&
           v->valuedouble >= (double)min && v->valuedouble <= (double)max;
}

static bool read_number(struct reader *r, size_t i, const cJSON *v)
{
    if (!is_whole(v, numbers[i].min, numbers[i].max))
        return fail(r, "%s: must be a whole number from %lld to %lld", numbers[i].key,
                    (long long)numbers[i].min, (long long)numbers[i].max);
    *number_at(r->config, i) = (int64_t)v->valuedouble;
    return true;
}

static bool read_strings(struct reader *r, const char *key, const cJSON *v, strings *to)
{
    const cJSON *each;
    size_t n = 0;
    if (!cJSON_IsArray(v))
        return fail(r, "%s: must be an array of strings", key);
    strings list = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*list));
    if (!list)
        return fail(r, "%s: out of memory", key);
    cJSON_ArrayForEach(each, v)
    {
        if (!cJSON_IsString(each) || !(list[n++] = strdup(each->valuestring))) {
            strings_free(list);
            return fail(r, "%s: must be an array of strings", key);
        }
    }
    strings_free(*to);
    *to = list;
    return true;
}

static bool read_ids(struct reader *r, const char *key, const cJSON *v, int64_t **to)
{
    const cJSON *each;
    size_t n = 0;
    if (!cJSON_IsArray(v))
        return fail(r, "%s: must be an array of numeric ids", key);
    int64_t *ids = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*ids));
    if (!ids)
        return fail(r, "%s: out of memory", key);
    cJSON_ArrayForEach(each, v)
    {
        if (!is_whole(each, 0, UINT32_MAX - 1)) {
            free(ids);
            return fail(r, "%s: must be an array of numeric ids", key);
        }
        ids[n++] = (int64_t)each->valuedouble;
    }
    ids[n] = -1;
    free(*to);
    *to = ids;
    return true;
}

static bool read_mode(struct reader *r, const char *key, const cJSON *v)
{
    char *end = NULL;
    unsigned long mode = cJSON_IsString(v) ? strtoul(v->valuestring, &end, 8) : 0;
    if (!end || end == v->valuestring || *end || mode > 0777 || (mode & 0600) != 0600)
        return fail(r, "%s: must be an octal mode in a string, from \"0600\" to \"0777\"", key);
    r->config->socket_mode = (mode_t)mode;
    return true;
}

/* cJSON keeps both of two members with one name; which of them was meant nobody knows. */
static bool once(struct reader *r, const char *prefix, const cJSON *object, const cJSON *member)
{
    if (cJSON_GetObjectItemCaseSensitive(object, member->string) == member)
        return true;
    return fail(r, "%s%s: is there twice", prefix, member->string);
}

static bool read_env(struct reader *r, const char *key, const cJSON *v)
{
    const cJSON *each;
    size_t n = 0;
    if (!cJSON_IsObject(v))
        return fail(r, "%s: must be an object of strings", key);
    strings env = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*env));
    if (!env)
        return fail(r, "%s: out of memory", key);
    cJSON_ArrayForEach(each, v)
    {
        if (!once(r, "codex.env.", v, each)) {
            strings_free(env);
            return false;
        }
        if (!cJSON_IsString(each) || !*each->string || strchr(each->string, '=')) {
            strings_free(env);
            return fail(r, "%s.%s: must be a string, and its name without \"=\"", key,
                        each->string);
        }
        if (asprintf(&env[n], "%s=%s", each->string, each->valuestring) < 0) {
            env[n] = NULL;
            strings_free(env);
            return fail(r, "%s: out of memory", key);
        }
        n++;
    }
    strings_free(r->config->codex_env);
    r->config->codex_env = env;
    return true;
}

static bool read_codex(struct reader *r, const char *key, const cJSON *v)
{
    const cJSON *each;
    struct config *c = r->config;
    (void)key;
    if (!cJSON_IsObject(v))
        return fail(r, "codex: must be an object with command, args, env, cwd");
    cJSON_ArrayForEach(each, v)
    {
        bool ok = once(r, "codex.", v, each);
        if (!ok)
            return false;
        if (strcmp(each->string, "command") == 0)
            ok = read_string(r, "codex.command", each, &c->codex_command);
        else if (strcmp(each->string, "args") == 0)
            ok = read_strings(r, "codex.args", each, &c->codex_args);
        else if (strcmp(each->string, "env") == 0)
            ok = read_env(r, "codex.env", each);
        else if (strcmp(each->string, "cwd") == 0)
            ok = cJSON_IsNull(each) || read_string(r, "codex.cwd", each, &c->codex_cwd);
        else
            ok = fail(r, "codex.%s: unknown key (known: command, args, env, cwd)", each->string);
        if (!ok)
            return false;
    }
    return true;
}

static bool read_client_info(struct reader *r, const char *key, const cJSON *v)
{
    const cJSON *each;
    if (!cJSON_IsObject(v))
        return fail(r, "%s: must be an object with name, title, version", key);
    cJSON_ArrayForEach(each, v)
    {
        if (strcmp(each->string, "name") != 0 && strcmp(each->string, "title") != 0 &&
            strcmp(each->string, "version") != 0)
            return fail(r, "clientInfo.%s: unknown key (known: name, title, version)",
                        each->string);
        if (!once(r, "clientInfo.", v, each))
            return false;
        if (!cJSON_IsString(each))
            return fail(r, "clientInfo.%s: must be a string", each->string);
        cJSON *copy = cJSON_Duplicate(each, true);
        if (!copy ||
            !cJSON_ReplaceItemInObjectCaseSensitive(r->config->client_info, each->string, copy))
            return fail(r, "clientInfo: out of memory");
    }
    return true;
}

static bool read_log(struct reader *r, const char *key, const cJSON *v)
{
    const cJSON *each;
    if (!cJSON_IsObject(v))
        return fail(r, "%s: must be an object with level, format", key);
    cJSON_ArrayForEach(each, v)
    {
        const char *text = cJSON_IsString(each) ? each->valuestring : "";
        int value;
        if (!once(r, "log.", v, each))
            return false;
        if (strcmp(each->string, "level") == 0) {
            if ((value = log_level_parse(text)) < 0)
                return fail(r, "log.level: must be error, warn, info, debug or trace");
            r->config->log_level = (enum log_level)value;
        } else if (strcmp(each->string, "format") == 0) {
            if ((value = log_format_parse(text)) < 0)
                return fail(r, "log.format: must be text or json");
            r->config->log_format = (enum log_format)value;
        } else {
            return fail(r, "log.%s: unknown key (known: level, format)", each->string);
        }
    }
    return true;
}

static const char *const moves_names[] = {
    [MOVES_AUTO] = "auto", [MOVES_RESUME] = "resume", [MOVES_NEVER] = "never"};

const char *moves_name(enum moves moves)
{
    return moves_names[moves];
}

static bool read_moves(struct reader *r, const char *key, const cJSON *v)
{
    for (size_t i = 0; cJSON_IsString(v) && i < ARRAY_LEN(moves_names); i++) {
        if (strcmp(v->valuestring, moves_names[i]) == 0) {
            r->config->moves = (enum moves)i;
            return true;
        }
    }
    return fail(r, "%s: must be auto, resume or never", key);
}

static bool read_key(struct reader *r, const cJSON *v)
{
    struct config *c = r->config;
    const char *key = v->string;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (strcmp(key, numbers[i].key) == 0)
            return read_number(r, i, v);
    if (strcmp(key, "socket") == 0)
        return read_string(r, key, v, &c->socket);
    if (strcmp(key, "socketMode") == 0)
        return read_mode(r, key, v);
    if (strcmp(key, "prewarm") == 0)
        return read_bool(r, key, v, &c->prewarm);
    if (strcmp(key, "moves") == 0)
        return read_moves(r, key, v);
    if (strcmp(key, "codex") == 0)
        return read_codex(r, key, v);
    if (strcmp(key, "clientInfo") == 0)
        return read_client_info(r, key, v);
    if (strcmp(key, "allowUids") == 0)
        return read_ids(r, key, v, &c->allow_uids);
    if (strcmp(key, "allowGids") == 0)
        return read_ids(r, key, v, &c->allow_gids);
    if (strcmp(key, "adminUids") == 0)
        return read_ids(r, key, v, &c->admin_uids);
    if (strcmp(key, "denyMethods") == 0)
        return read_strings(r, key, v, &c->deny_methods);
    if (strcmp(key, "log") == 0)
        return read_log(r, key, v);
    return fail(r, "%s: unknown key (the README's configuration table has them all)", key);
}

static bool read_keys(struct reader *r, const cJSON *root)
{
    const cJSON *each;
    if (!cJSON_IsObject(root))
        return fail(r, "must hold one JSON object");
    cJSON_ArrayForEach(each, root)
    {
        if (!once(r, "", root, each) || !read_key(r, each))
            return false;
    }
    return true;
}

static bool read_text(struct reader *r, const char *text)
{
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithOpts(text, &end, true);
    /* Out of memory leaves no error. */
    if (!root && json_valid(slice_str(text)))
        return false;
    if (!root) {
        unsigned line = 1;
        for (const char *p = text; p < end; p++)
            line += *p == '\n';
        return fail(r, "line %u: not JSON", line);
    }
    bool ok = read_keys(r, root);
    cJSON_Delete(root);
    return ok;
}

static bool apply_flags(struct reader *r, const struct config_flags *flags)
{
    struct config *c = r->config;
    char *found = NULL;
    if (flags->pool_size)
        c->pool_size = flags->pool_size;
    if (flags->log_level >= 0)
        c->log_level = (enum log_level)flags->log_level;
    if (flags->log_format >= 0)
        c->log_format = (enum log_format)flags->log_format;
    if (flags->codex) {
        free(c->codex_command);
        if (!(c->codex_command = strdup(flags->codex)))
            return fail(r, "out of memory");
    }
    if (sockpath_find(flags->socket, c->socket, &found) < 0)
        return fail(r, "out of memory");
    free(c->socket);
    c->socket = found;
    struct sockaddr_un address;
    if (sockpath_address(c->socket, &address) < 0)
        return fail(r, "socket: %s is longer than the %zu bytes that a socket's path may have",
                    c->socket, sizeof(address.sun_path) - 1);
    if (c->min_workers <= c->pool_size)
        return true;
    if (!flags->pool_size)
        return fail(r, "minWorkers: %lld is more than poolSize, %lld", (long long)c->min_workers,
                    (long long)c->pool_size);
    c->min_workers = c->pool_size;
    return true;
}

struct config *config_parse(const char *text, const char *name, const struct config_flags *flags,
                            char **error)
{
    struct config *c = calloc(1, sizeof(*c));
    struct reader r = {.config = c, .name = name ? name : "command line"};
    *error = NULL;
    if (!c)
        return NULL;
    bool ok = set_defaults(c);
    ok = ok && (!text || read_text(&r, text));
    ok = ok && apply_flags(&r, flags);
    if (ok)
        return c;
    config_free(c);
    *error = r.error;
    return NULL;
}

/* The file's text, a heap string; NULL with errno. */
static char *slurp(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *text = malloc(FILE_MAX_BYTES + 1);
    size_t n = 0;
    if (fd < 0 || !text)
        return NULL;
    for (;;) {
        ssize_t got = read(fd, text + n, FILE_MAX_BYTES + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > FILE_MAX_BYTES) {
            errno = EFBIG;
            return NULL;
        }
    }
    text[n] = '\0';
    return take_ptr(text);
}

struct config *config_load(const struct config_flags *flags, char **error)
{
    _cleanup_free_ char *file = NULL;
    _cleanup_free_ char *text = NULL;
    *error = NULL;
    if (sockpath_config_file(flags->file, &file) < 0)
        return NULL;
    if (file && !(text = slurp(file))) {
        if (asprintf(error, "%s: %s", file, strerror(errno)) < 0)
            *error = NULL;
        return NULL;
    }
    struct config *c = config_parse(text, file, flags, error);
    if (c)
        c->file = take_ptr(file);
    return c;
}

static bool strings_same(const strings a, const strings b)
{
    size_t i = 0;
    for (; a[i] && b[i]; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return !a[i] && !b[i];
}

bool config_same_codex(const struct config *a, const struct config *b)
{
    bool same_cwd = a->codex_cwd && b->codex_cwd ? strcmp(a->codex_cwd, b->codex_cwd) == 0
                                                 : a->codex_cwd == b->codex_cwd;
    return strcmp(a->codex_command, b->codex_command) == 0 && same_cwd &&
           strings_same(a->codex_args, b->codex_args) && strings_same(a->codex_env, b->codex_env) &&
           cJSON_Compare(a->client_info, b->client_info, true);
}

bool config_denies(const struct config *c, struct slice method)
{
    for (size_t i = 0; c->deny_methods[i]; i++) {
        struct slice pattern = slice_str(c->deny_methods[i]);
        bool prefix = pattern.n >= 2 && memcmp(pattern.p + pattern.n - 2, "/*", 2) == 0;
        if (prefix && method.n >= pattern.n - 1 && memcmp(method.p, pattern.p, pattern.n - 1) == 0)
            return true;
        if (slice_eq(pattern, method))
            return true;
    }
    return false;
}

bool config_has_id(const int64_t *ids, int64_t id)
{
    for (; *ids >= 0; ids++)
        if (*ids == id)
            return true;
    return false;
}
