/* What a thread was set to, as it is read from what clients and workers say, and what is said of it
 * to the next worker.
 *
 * Lines: the params of the request that opens the thread, the result of the one worker, the result
 * of the next, then threadSettings of updates. Lines that are no JSON never come this far. */
#include "daemon/settings.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

static struct slice take_json(struct slice *rest)
{
    struct slice line = fuzz_cut(rest, '\n');
    struct json_cursor c = {.p = line.p, .end = line.p + line.n};
    return json_valid(line) ? json_skip(&c, 0) : SLICE_NULL;
}

/* What is sent is JSON whatever it was made from, and names the thread. */
static void check_params(cJSON *params)
{
    _cleanup_free_ char *text = params ? cJSON_PrintUnformatted(params) : NULL;
    cJSON_Delete(params);
    if (!text)
        return;
    MUST(json_valid(slice_str(text)), "no JSON: %s", text);
    MUST(slice_is(json_get_text(slice_str(text), "threadId"), "T"), "no thread: %s", text);
}

static void check_repair(const struct settings *was, const struct settings *is)
{
    unsigned diff = settings_diff(was, is);
    MUST(settings_diff(is, was) == diff, "it differs in one direction");
    MUST(diff >> SETTINGS == 0, "a setting that there is not");
    cJSON *repair = settings_repair(was, diff, "T");
    if (repair) {
        const char *profile = was->reported[SETTING_PROFILE];
        MUST((settings_after_repair(diff, diff) & ~diff) == 0, "a repair adds differences");
        /* It would drop the profile. */
        MUST(!profile || strcmp(profile, "null") == 0 ||
                 !cJSON_GetObjectItemCaseSensitive(repair, "sandboxPolicy"),
             "a sandbox beside a profile");
    }
    check_params(repair);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = fuzz_exact(data, size), rest = all;
    struct settings *was = settings_new(take_json(&rest));
    struct settings *is = settings_new(SLICE_NULL);
    /* A configuration with a number that cJSON does not take is as one that is not known. */
    if (was && is) {
        MUST(settings_opened(was, take_json(&rest)) == 0, "out of memory");
        MUST(settings_opened(is, take_json(&rest)) == 0, "out of memory");
        MUST(settings_diff(was, was) == 0, "it differs from itself");
        check_repair(was, is);
        check_params(settings_resume(was, "T"));
        while (rest.n)
            MUST(settings_updated(was, take_json(&rest)) == 0, "out of memory");
        check_repair(was, is);
        settings_take_reported(is, was);
        check_repair(was, is);
    }
    settings_free(was);
    settings_free(is);
    free((char *)all.p);
    return 0;
}
