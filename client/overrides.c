#include "client/overrides.h"

#include "proto/envelope.h"
#include "proto/json.h"

#include <errno.h>
#include <stdio.h>

void overrides_init(struct overrides *o)
{
    o->config = NULL;
}

void overrides_deinit(struct overrides *o)
{
    cJSON_Delete(o->config);
    o->config = NULL;
}

/* A TOML value as JSON, as far as the two are written the same; any other text stands for itself,
 * as it does for Codex. NULL when out of memory, or with *unread for what only TOML can read. */
static cJSON *value_of(const char *text, bool *unread)
{
    struct slice whole = slice_str(text);
    if (whole.n >= 2 && text[0] == '\'' && text[whole.n - 1] == '\'') {
        _cleanup_free_ char *inner = slice_dup((struct slice){text + 1, whole.n - 2});
        return inner ? cJSON_CreateString(inner) : NULL;
    }
    if (strcmp(text, "null") != 0 && text[0] != '{' && json_valid(whole))
        return cJSON_Parse(text);
    *unread = text[0] == '{' || text[0] == '[';
    return *unread ? NULL : cJSON_CreateString(text);
}

static int put(struct overrides *o, const char *key, cJSON *value)
{
    if (!o->config)
        o->config = cJSON_CreateObject();
    cJSON_DeleteItemFromObjectCaseSensitive(o->config, key);
    if (value && o->config && cJSON_AddItemToObject(o->config, key, value))
        return 0;
    cJSON_Delete(value);
    return -ENOMEM;
}

static void tell(const char *flag, const char *setting, const char *what)
{
    fprintf(stderr, "codex-pool app-server: %s %s: workers are shared; %s\n", flag, setting, what);
}

static int read_config(struct overrides *o, const char *flag, const char *setting)
{
    const char *equals = strchr(setting, '=');
    bool unread = false;
    if (!equals || equals == setting) {
        tell(flag, setting, "not KEY=VALUE, left out");
        return 0;
    }
    _cleanup_free_ char *key = slice_dup((struct slice){setting, (size_t)(equals - setting)});
    cJSON *value = key ? value_of(equals + 1, &unread) : NULL;
    if (unread) {
        tell(flag, setting, "a value of this form is left out");
        return 0;
    }
    if (!value)
        return -ENOMEM;
    tell(flag, setting, "it goes along as config of each thread that is opened here");
    return put(o, key, value);
}

static int read_feature(struct overrides *o, const char *flag, const char *name, bool on)
{
    _cleanup_free_ char *key = NULL;
    if (asprintf(&key, "features.%s", name) < 0) {
        key = NULL;
        return -ENOMEM;
    }
    cJSON *value = cJSON_CreateBool(on);
    if (!value)
        return -ENOMEM;
    tell(flag, name, "it goes along as config of each thread that is opened here");
    return put(o, key, value);
}

static const char *const flags[] = {"-c", "--config", "--enable", "--disable"};

/* The value of a flag at argv[*i], which may be the next word; NULL where it is another flag. */
static const char *flag_value(const char *flag, int argc, char **argv, int *i)
{
    size_t n = strlen(flag);
    const char *word = argv[*i];
    if (strcmp(word, flag) == 0)
        return *i + 1 < argc ? argv[++*i] : NULL;
    if (strncmp(word, flag, n) != 0)
        return NULL;
    if (n > 2)
        return word[n] == '=' ? word + n + 1 : NULL;
    return word[n] == '=' ? word + n + 1 : word + n;
}

int overrides_read(struct overrides *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        for (size_t f = 0; f < ARRAY_LEN(flags); f++) {
            const char *value = flag_value(flags[f], argc, argv, &i);
            if (!value)
                continue;
            bool feature = strcmp(flags[f], "--enable") == 0 || strcmp(flags[f], "--disable") == 0;
            int r = feature ? read_feature(o, flags[f], value, flags[f][2] == 'e')
                            : read_config(o, flags[f], value);
            if (r < 0)
                return r;
            break;
        }
    return 0;
}

static bool opens_thread(struct slice line, struct slice *params)
{
    static const char *const methods[] = {"thread/start", "thread/resume", "thread/fork"};
    struct envelope e;
    const char *why;
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK || e.kind != ENVELOPE_REQUEST)
        return false;
    *params = e.params;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (slice_is(e.method, methods[i]))
            return params->n > 0 && params->p[0] == '{';
    return false;
}

/* What the overrides add to a config, as the members of an object: "KEY":VALUE,… without braces. */
static char *members_beside(const struct overrides *o, struct slice config)
{
    _cleanup_free_ char *text = config.n ? slice_dup(config) : NULL;
    cJSON *own = text ? cJSON_Parse(text) : NULL;
    cJSON *added = config.n && !own ? NULL : cJSON_Duplicate(o->config, true);
    const cJSON *member;
    cJSON_ArrayForEach(member, own) cJSON_DeleteItemFromObjectCaseSensitive(added, member->string);
    char *printed = added ? cJSON_PrintUnformatted(added) : NULL;
    cJSON_Delete(own);
    cJSON_Delete(added);
    if (!printed)
        return NULL;
    size_t n = strlen(printed);
    memmove(printed, printed + 1, n - 2);
    printed[n - 2] = '\0';
    return printed;
}

/* The line with `text` in place of what is between two places in it. */
static int splice(struct slice line, const char *from, const char *to, const char *text,
                  char **changed)
{
    int before = (int)(from - line.p);
    int after = (int)(line.p + line.n - to);
    if (asprintf(changed, "%.*s%s%.*s", before, line.p, text, after, to) < 0) {
        *changed = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool is_empty_object(struct slice object)
{
    struct json_cursor c = {.p = object.p, .end = object.p + object.n};
    bool first = true;
    struct slice key;
    return json_enter_object(&c) && !json_member(&c, &first, &key);
}

int overrides_apply(const struct overrides *o, struct slice line, char **changed)
{
    struct slice params;
    *changed = NULL;
    if (!opens_thread(line, &params))
        return 0;
    struct slice config = json_get(params, "config");
    bool own = config.n > 0 && config.p[0] == '{' && !is_empty_object(config);
    _cleanup_free_ char *members = members_beside(o, own ? config : SLICE_NULL);
    _cleanup_free_ char *text = NULL;
    if (!members)
        return -ENOMEM;
    if (own && !*members)
        return 0;
    const char *form = own                       ? "{%s,"
                       : config.n                ? "{%s}"
                       : is_empty_object(params) ? "{\"config\":{%s}"
                                                 : "{\"config\":{%s},";
    if (asprintf(&text, form, members) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    if (own)
        return splice(line, config.p, config.p + 1, text, changed);
    if (config.n)
        return splice(line, config.p, config.p + config.n, text, changed);
    return splice(line, params.p, params.p + 1, text, changed);
}
