#include "daemon/config.h"

#include <stdio.h>

static cJSON *print_strings(const strings list)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && list[i]; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list[i]));
    return array;
}

static cJSON *print_ids(const int64_t *ids)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && ids[i] >= 0; i++)
        cJSON_AddItemToArray(array, cJSON_CreateNumber((double)ids[i]));
    return array;
}

static cJSON *print_codex(const struct config *c)
{
    cJSON *codex = cJSON_CreateObject();
    cJSON *env = cJSON_CreateObject();
    cJSON_AddStringToObject(codex, "command", c->codex_command);
    cJSON_AddItemToObject(codex, "args", print_strings(c->codex_args));
    for (size_t i = 0; c->codex_env[i]; i++) {
        char *equals = strchr(c->codex_env[i], '=');
        _cleanup_free_ char *name =
            slice_dup((struct slice){c->codex_env[i], (size_t)(equals - c->codex_env[i])});
        if (name)
            cJSON_AddStringToObject(env, name, equals + 1);
    }
    cJSON_AddItemToObject(codex, "env", env);
    if (c->codex_cwd)
        cJSON_AddStringToObject(codex, "cwd", c->codex_cwd);
    else
        cJSON_AddNullToObject(codex, "cwd");
    return codex;
}

char *config_print(const struct config *c)
{
    char mode[8];
    const char *key;
    int64_t value;
    cJSON *root = cJSON_CreateObject();
    cJSON *log = cJSON_CreateObject();
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)c->socket_mode);
    cJSON_AddStringToObject(root, "socket", c->socket);
    cJSON_AddStringToObject(root, "socketMode", mode);
    cJSON_AddBoolToObject(root, "prewarm", c->prewarm);
    for (size_t i = 0; (key = config_number(c, i, &value)); i++)
        cJSON_AddNumberToObject(root, key, (double)value);
    cJSON_AddStringToObject(root, "moves", moves_name(c->moves));
    cJSON_AddItemToObject(root, "codex", print_codex(c));
    cJSON_AddItemToObject(root, "clientInfo", cJSON_Duplicate(c->client_info, true));
    cJSON_AddItemToObject(root, "allowUids", print_ids(c->allow_uids));
    cJSON_AddItemToObject(root, "allowGids", print_ids(c->allow_gids));
    cJSON_AddItemToObject(root, "adminUids", print_ids(c->admin_uids));
    cJSON_AddItemToObject(root, "denyMethods", print_strings(c->deny_methods));
    cJSON_AddStringToObject(log, "level", log_level_name(c->log_level));
    cJSON_AddStringToObject(log, "format", c->log_format == LOG_JSON ? "json" : "text");
    cJSON_AddItemToObject(root, "log", log);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}
