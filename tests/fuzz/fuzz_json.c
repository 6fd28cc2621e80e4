/* The JSON functions that look at text in place, against a cJSON tree of it; reference.h says where
 * the two may differ. */
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference.h"

/* Names are compared as they are written, so one with an escape is not found by its meaning. */
static void check_get(struct slice object, struct slice key, const cJSON *tree)
{
    _cleanup_free_ char *name = slice_dup(key);
    if (!*name || strpbrk(name, "\\."))
        return;
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(tree, name);
    struct slice value = json_get(object, name), text = json_get_text(object, name);
    /* An earlier one of the same meaning may be written with an escape. */
    if (memchr(object.p, '\\', object.n))
        return;
    MUST(reference_same(value, first), "json_get finds another %s", name);
    MUST(!text.p == !cJSON_IsString(first), "json_get_text: %s is a string, or is none", name);
    if (text.p)
        MUST(slice_is(text, first->valuestring), "json_get_text: another text of %s", name);
}

/* A path goes the same way as its steps. */
static void check_path(struct slice object, struct slice key, struct slice value)
{
    struct json_cursor c = {.p = value.p, .end = value.p + value.n};
    struct slice inner;
    bool first = true;
    _cleanup_free_ char *path = NULL;
    if (!json_enter_object(&c) || !json_member(&c, &first, &inner) || !key.n || !inner.n ||
        memchr(key.p, '.', key.n) || memchr(inner.p, '.', inner.n))
        return;
    MUST(asprintf(&path, "%.*s.%.*s", (int)key.n, key.p, (int)inner.n, inner.p) >= 0, "memory");
    path[key.n] = '\0';
    struct slice step = json_get(json_get(object, path), path + key.n + 1);
    path[key.n] = '.';
    struct slice found = json_get(object, path);
    MUST(found.p == step.p && found.n == step.n, "json_get: another way to %s", path);
}

static void check_value(struct slice text, const cJSON *tree, unsigned depth);

static void check_object(struct slice text, const cJSON *tree, unsigned depth)
{
    struct json_cursor c = {.p = text.p, .end = text.p + text.n};
    const cJSON *child = tree->child;
    struct slice key;
    bool first = true;
    MUST(json_enter_object(&c), "no object");
    while (json_member(&c, &first, &key)) {
        struct slice value = json_skip(&c, 1);
        MUST(child, "more members than cJSON sees");
        if (!memchr(key.p, '\\', key.n))
            MUST(slice_is(key, child->string), "another name than %s", child->string);
        check_value(value, child, depth + 1);
        check_get(text, key, tree);
        check_path(text, key, value);
        child = child->next;
    }
    MUST(!c.bad && !child, "fewer members than cJSON sees");
    /* No name has a tab in it. */
    MUST(!json_get(text, "no such\tmember").p, "a member that is not there");
}

struct elements {
    const cJSON *next;
    unsigned depth;
};

static void check_element(struct slice element, void *arg)
{
    struct elements *e = arg;
    MUST(e->next, "more elements than cJSON sees");
    check_value(element, e->next, e->depth);
    e->next = e->next->next;
}

static void check_value(struct slice text, const cJSON *tree, unsigned depth)
{
    struct slice raw = json_text(text);
    MUST(!raw.p == !cJSON_IsString(tree), "json_text: a string, or none");
    if (raw.p && !memchr(raw.p, '\\', raw.n))
        MUST(slice_is(raw, tree->valuestring), "json_text: another text");
    size_t count = cJSON_IsArray(tree) ? (size_t)cJSON_GetArraySize(tree) : 0;
    MUST(json_count(text) == count, "json_count: not %zu", count);
    /* Deeper ones are as those above them, and would take long. */
    if (depth > 3)
        return;
    if (cJSON_IsObject(tree)) {
        check_object(text, tree, depth);
    } else if (cJSON_IsArray(tree)) {
        struct elements e = {tree->child, depth + 1};
        json_each(text, check_element, &e);
        MUST(!e.next, "fewer elements than cJSON sees");
    }
}

/* A text of any bytes becomes one that a string may hold, and one that was is not changed. */
static void check_clean(struct slice text)
{
    _cleanup_free_ char *clean = slice_dup(text);
    _cleanup_free_ char *quoted = NULL;
    for (char *p = clean; p < clean + text.n; p++)
        if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\')
            *p = ' ';
    _cleanup_free_ char *before = strdup(clean);
    json_clean_text(clean);
    MUST(asprintf(&quoted, "\"%s\"", clean) >= 0, "out of memory");
    MUST(json_valid(slice_str(quoted)), "json_clean_text leaves what is no UTF-8");
    free(quoted);
    MUST(asprintf(&quoted, "\"%s\"", before) >= 0, "out of memory");
    MUST(!json_valid(slice_str(quoted)) || strcmp(before, clean) == 0,
         "json_clean_text changes what is UTF-8");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = fuzz_exact(data, size);
    cJSON *tree = reference_parse(text);
    bool valid = json_valid(text);
    if (valid)
        MUST(!reference_laxness(text), "taken in spite of %s", reference_laxness(text));
    if (valid && tree) {
        struct json_cursor c = {.p = text.p, .end = text.p + text.n};
        check_value(json_skip(&c, 0), tree, 0);
    } else if (valid) {
        MUST(reference_long_number(text), "cJSON refuses it");
    } else if (tree) {
        MUST(reference_laxness(text), "cJSON takes it");
    }
    check_clean(text);
    cJSON_Delete(tree);
    free((char *)text.p);
    return 0;
}
