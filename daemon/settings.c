#include "daemon/settings.h"

#include "proto/json.h"
#include "proto/rpc.h"

#include <assert.h>
#include <errno.h>

/* `update` is the setting's name in thread/settings/updated; NULL: not said there. */
static const struct {
    const char *answer, *update;
} names[] = {
    [SETTING_MODEL] = {"model", "model"},
    [SETTING_PROVIDER] = {"modelProvider", "modelProvider"},
    [SETTING_TIER] = {"serviceTier", "serviceTier"},
    [SETTING_EFFORT] = {"reasoningEffort", "effort"},
    [SETTING_CWD] = {"cwd", "cwd"},
    [SETTING_ROOTS] = {"runtimeWorkspaceRoots", NULL},
    [SETTING_ENVIRONMENTS] = {"environments", "environments"}, /* of the answer's `thread` */
    [SETTING_APPROVAL] = {"approvalPolicy", "approvalPolicy"},
    [SETTING_REVIEWER] = {"approvalsReviewer", "approvalsReviewer"},
    [SETTING_SANDBOX] = {"sandbox", "sandboxPolicy"},
    [SETTING_PROFILE] = {"activePermissionProfile", "activePermissionProfile"},
    [SETTING_PLUGINS] = {"disabledPluginIds", "disabledPluginIds"},
    [SETTING_COLLABORATION] = {"collaborationMode", "collaborationMode"},
    [SETTING_AGENTS] = {"multiAgentMode", "multiAgentMode"},
    [SETTING_SOURCES] = {"instructionSources", NULL},
};
static_assert(ARRAY_LEN(names) == SETTINGS, "names for each setting");

/* Stored with the thread, where later changes of it are, too: given again they would undo those
 * (measured on 0.169). */
static const char *const stored_keys[] = {
    "model",           "model_provider",     "model_reasoning_effort", "model_reasoning_summary",
    "approval_policy", "approvals_reviewer", "sandbox_mode",           "default_permissions",
    "service_tier",
};

const char *settings_name(enum setting setting)
{
    return names[setting].answer;
}

static bool given(struct slice value)
{
    return value.n && !slice_is(value, "null");
}

/* A `config` without the stored keys; NULL where nothing is left of it. 0 or -ENOMEM. */
static int keep_config(struct settings *s, struct slice config)
{
    if (!given(config) || config.p[0] != '{')
        return 0;
    cJSON *tree = cJSON_ParseWithLength(config.p, config.n);
    if (!tree)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(stored_keys); i++)
        cJSON_DeleteItemFromObjectCaseSensitive(tree, stored_keys[i]);
    bool left = cJSON_GetArraySize(tree) > 0;
    s->config = left ? cJSON_PrintUnformatted(tree) : NULL;
    cJSON_Delete(tree);
    return left && !s->config ? -ENOMEM : 0;
}

static int keep_text(char **to, struct slice value)
{
    if (given(value) && !(*to = slice_dup(value)))
        return -ENOMEM;
    return 0;
}

struct settings *settings_new(struct slice params)
{
    struct settings *s = calloc(1, sizeof(*s));
    if (!s || !params.n)
        return s;
    s->raw_events = slice_is(json_get(params, "experimentalRawEvents"), "true");
    if (keep_config(s, json_get(params, "config")) == 0 &&
        keep_text(&s->developer_instructions, json_get(params, "developerInstructions")) == 0 &&
        keep_text(&s->base_instructions, json_get(params, "baseInstructions")) == 0)
        return s;
    settings_free(s);
    return NULL;
}

static void forget_reported(struct settings *s)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        free(s->reported[i]);
        s->reported[i] = NULL;
    }
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    forget_reported(s);
    free(s->config);
    free(s->developer_instructions);
    free(s->base_instructions);
    free(s);
}

static int keep(struct settings *s, enum setting setting, struct slice value)
{
    free(s->reported[setting]);
    s->reported[setting] = value.n ? slice_dup(value) : NULL;
    return value.n && !s->reported[setting] ? -ENOMEM : 0;
}

/* One pass: the answer to a thread/resume may be long. */
int settings_opened(struct settings *s, struct slice result)
{
    struct json_cursor c = {0};
    struct slice key;
    bool first = true;
    int r = 0;
    forget_reported(s);
    s->relocated = false;
    if (result.n)
        c = (struct json_cursor){.p = result.p, .end = result.p + result.n};
    if (!json_enter_object(&c))
        return 0;
    while (r == 0 && json_member(&c, &first, &key)) {
        struct slice value = json_skip(&c, 0);
        if (slice_is(key, "thread"))
            r = keep(s, SETTING_ENVIRONMENTS, json_get(value, "environments"));
        for (enum setting i = 0; r == 0 && i < SETTINGS; i++)
            if (i != SETTING_ENVIRONMENTS && slice_is(key, names[i].answer))
                r = keep(s, i, value);
    }
    return r;
}

void settings_take_reported(struct settings *s, struct settings *from)
{
    forget_reported(s);
    memcpy(s->reported, from->reported, sizeof(s->reported));
    memset(from->reported, 0, sizeof(from->reported));
    s->relocated = from->relocated;
}

static bool same(enum setting setting, const char *a, const char *b)
{
    if (!a || !b || strcmp(a, b) == 0)
        return true;
    /* A thread that was reverted says the one where it said the other (0.169). */
    if (setting == SETTING_TIER && (strcmp(a, "null") == 0 || strcmp(b, "null") == 0))
        return strcmp(a, "\"default\"") == 0 || strcmp(b, "\"default\"") == 0;
    cJSON *x = cJSON_Parse(a), *y = cJSON_Parse(b);
    bool equal = x && y && cJSON_Compare(x, y, true);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return equal;
}

int settings_updated(struct settings *s, struct slice thread_settings)
{
    int r = 0;
    for (enum setting i = 0; thread_settings.n && r == 0 && i < SETTINGS; i++) {
        _cleanup_free_ char *before = s->reported[i];
        struct slice value =
            names[i].update ? json_get(thread_settings, names[i].update) : SLICE_NULL;
        s->reported[i] = value.n ? slice_dup(value) : before;
        if (!value.n)
            before = NULL;
        else if (!s->reported[i])
            r = -ENOMEM;
        else if (i == SETTING_CWD && !same(i, before, s->reported[i]))
            s->relocated = true;
    }
    /* Not said here, and part of the environments, which are. */
    if (r == 0)
        r = keep(s, SETTING_ROOTS, SLICE_NULL);
    return r;
}

unsigned settings_diff(const struct settings *a, const struct settings *b)
{
    unsigned diff = 0;
    for (enum setting i = 0; i < SETTINGS; i++) {
        bool stale = i == SETTING_SOURCES && (a->relocated || b->relocated);
        if (!stale && !same(i, a->reported[i], b->reported[i]))
            diff |= 1U << i;
    }
    return diff;
}

static cJSON *params_for(const char *thread_id)
{
    cJSON *params = rpc_object();
    if (cJSON_AddStringToObject(params, "threadId", thread_id))
        return params;
    cJSON_Delete(params);
    return NULL;
}

/* False when out of memory. */
static bool add_raw(cJSON *to, const char *name, const char *raw)
{
    return !raw || cJSON_AddRawToObject(to, name, raw);
}

cJSON *settings_resume(const struct settings *s, const char *thread_id)
{
    cJSON *params = params_for(thread_id);
    if (params && cJSON_AddTrueToObject(params, "excludeTurns") &&
        add_raw(params, "config", s->config) &&
        add_raw(params, "developerInstructions", s->developer_instructions) &&
        add_raw(params, "baseInstructions", s->base_instructions))
        return params;
    cJSON_Delete(params);
    return NULL;
}

#define BIT(setting) (1U << (setting))
/* They follow the environments, and no update reports them. */
#define FOLLOWERS (BIT(SETTING_ROOTS) | BIT(SETTING_SOURCES))

cJSON *settings_repair(const struct settings *s, unsigned diff, const char *thread_id)
{
    bool sandbox = diff & BIT(SETTING_SANDBOX), environments = diff & BIT(SETTING_ENVIRONMENTS);
    unsigned can = BIT(SETTING_SANDBOX);
    if (environments)
        can |= BIT(SETTING_ENVIRONMENTS) | BIT(SETTING_CWD) | FOLLOWERS;
    const char *profile = s->reported[SETTING_PROFILE];
    if (diff & ~can)
        return NULL;
    /* The sandbox is the profile's, and an update of it would drop the profile. */
    if (sandbox && profile && strcmp(profile, "null") != 0)
        return NULL;
    cJSON *params = params_for(thread_id);
    /* Environments alone would take the working directory, and a workspace with it, to theirs. */
    if (params && (!sandbox || add_raw(params, "sandboxPolicy", s->reported[SETTING_SANDBOX])) &&
        (!environments || (add_raw(params, "environments", s->reported[SETTING_ENVIRONMENTS]) &&
                           add_raw(params, "cwd", s->reported[SETTING_CWD]))))
        return params;
    cJSON_Delete(params);
    return NULL;
}

unsigned settings_after_repair(unsigned diff, unsigned repaired)
{
    return repaired & BIT(SETTING_ENVIRONMENTS) ? diff & ~FOLLOWERS : diff;
}
