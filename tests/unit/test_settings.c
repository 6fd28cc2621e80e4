#include "daemon/settings.h"
#include "tests/unit/unit.h"

#include <assert.h>

#define BIT(setting) (1U << (setting))

static struct settings *settings(const char *params, const char *answer)
{
    struct settings *s = settings_new(slice_str(params));
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(settings_opened(s, slice_str(answer)), 0);
    return s;
}

/* What was, what a resume reports; which settings differ. */
static unsigned diff(const char *was, const char *is)
{
    struct settings *a = settings("{}", was), *b = settings("{}", is);
    unsigned differ = settings_diff(a, b);
    settings_free(a);
    settings_free(b);
    return differ;
}

/* The JSON text of a request's parameters, which are consumed. */
static void ck_params(cJSON *params, const char *want)
{
    char *text = cJSON_PrintUnformatted(params);
    ck_assert_str_eq(text, want);
    cJSON_free(text);
    cJSON_Delete(params);
}

START_TEST(a_resume_brings_what_is_not_stored)
{
    struct settings *s = settings(
        "{\"model\":\"m\",\"cwd\":\"/x\",\"sandbox\":\"read-only\",\"approvalPolicy\":\"never\","
        "\"baseInstructions\":\"b\",\"developerInstructions\":\"d\",\"config\":{\"model\":\"m\","
        "\"model_provider\":\"p\",\"model_reasoning_effort\":\"high\","
        "\"model_reasoning_summary\":\"x\",\"approval_policy\":\"x\",\"approvals_reviewer\":\"x\","
        "\"sandbox_mode\":\"x\",\"default_permissions\":\"x\",\"service_tier\":\"x\","
        "\"web_search\":\"live\",\"features\":{\"goals\":false}}}",
        "{}");
    ck_params(settings_resume(s, "t"),
              "{\"threadId\":\"t\",\"excludeTurns\":true,"
              "\"config\":{\"web_search\":\"live\",\"features\":{\"goals\":false}},"
              "\"developerInstructions\":\"d\",\"baseInstructions\":\"b\"}");
    settings_free(s);
}
END_TEST

START_TEST(a_resume_is_bare_where_nothing_was_given)
{
    struct settings *s =
        settings("{\"config\":{\"model\":\"m\"},\"developerInstructions\":null}", "{}");
    ck_params(settings_resume(s, "t"), "{\"threadId\":\"t\",\"excludeTurns\":true}");
    settings_free(s);
}
END_TEST

START_TEST(equal_settings_do_not_differ)
{
    ck_assert_uint_eq(diff("{\"model\":\"m\",\"sandbox\":{\"type\":\"readOnly\",\"a\":[1,2]}}",
                           "{\"sandbox\":{ \"a\":[1, 2],\"type\":\"readOnly\"},\"model\":\"m\"}"),
                      0);
}
END_TEST

START_TEST(each_setting_is_compared)
{
    static const char *const answers[] = {
        [SETTING_MODEL] = "{\"model\":%s}",
        [SETTING_PROVIDER] = "{\"modelProvider\":%s}",
        [SETTING_TIER] = "{\"serviceTier\":%s}",
        [SETTING_EFFORT] = "{\"reasoningEffort\":%s}",
        [SETTING_CWD] = "{\"cwd\":%s}",
        [SETTING_ROOTS] = "{\"runtimeWorkspaceRoots\":%s}",
        [SETTING_ENVIRONMENTS] = "{\"thread\":{\"environments\":%s}}",
        [SETTING_APPROVAL] = "{\"approvalPolicy\":%s}",
        [SETTING_REVIEWER] = "{\"approvalsReviewer\":%s}",
        [SETTING_SANDBOX] = "{\"sandbox\":%s}",
        [SETTING_PROFILE] = "{\"activePermissionProfile\":%s}",
        [SETTING_PLUGINS] = "{\"disabledPluginIds\":%s}",
        [SETTING_COLLABORATION] = "{\"collaborationMode\":%s}",
        [SETTING_AGENTS] = "{\"multiAgentMode\":%s}",
        [SETTING_SOURCES] = "{\"instructionSources\":%s}",
    };
    static_assert(ARRAY_LEN(answers) == SETTINGS, "an answer for each setting");
    char one[96], other[96];
    snprintf(one, sizeof(one), answers[_i], "\"one\"");
    snprintf(other, sizeof(other), answers[_i], "\"other\"");
    ck_assert_uint_eq(diff(one, other), BIT(_i));
    ck_assert_uint_eq(diff(one, one), 0);
}
END_TEST

START_TEST(what_is_not_known_counts_as_equal)
{
    ck_assert_uint_eq(diff("{\"model\":\"m\"}", "{\"cwd\":\"/x\"}"), 0);
}
END_TEST

START_TEST(an_update_replaces_what_it_names)
{
    struct settings *a = settings("{}", "{\"model\":\"m\",\"sandbox\":{\"type\":\"readOnly\"}}");
    struct settings *b = settings("{}", "{\"model\":\"m\",\"sandbox\":{\"type\":\"x\"}}");
    ck_assert_int_eq(settings_updated(a, SLICE("{\"sandboxPolicy\":{\"type\":\"x\"}}")), 0);
    ck_assert_uint_eq(settings_diff(a, b), 0);
    settings_free(a);
    settings_free(b);
}
END_TEST

START_TEST(a_lost_sandbox_and_environments_are_repaired_together_with_the_directory)
{
    struct settings *s = settings("{}", "{\"cwd\":\"/w\",\"sandbox\":{\"type\":\"w\"},"
                                        "\"thread\":{\"environments\":[1]}}");
    ck_params(settings_repair(s, BIT(SETTING_SANDBOX), "t"),
              "{\"threadId\":\"t\",\"sandboxPolicy\":{\"type\":\"w\"}}");
    ck_params(settings_repair(s, BIT(SETTING_SANDBOX) | BIT(SETTING_ENVIRONMENTS), "t"),
              "{\"threadId\":\"t\",\"sandboxPolicy\":{\"type\":\"w\"},\"environments\":[1],"
              "\"cwd\":\"/w\"}");
    settings_free(s);
}
END_TEST

START_TEST(nothing_else_is_repaired)
{
    struct settings *s = settings("{}", "{\"sandbox\":{\"type\":\"w\"}}");
    for (enum setting i = 0; i < SETTINGS; i++)
        if (i != SETTING_SANDBOX && i != SETTING_ENVIRONMENTS)
            ck_assert_ptr_null(settings_repair(s, BIT(i), "t"));
    settings_free(s);
    s = settings("{}", "{\"sandbox\":{\"type\":\"w\"},\"activePermissionProfile\":{\"id\":\"p\"}}");
    ck_assert_ptr_null(settings_repair(s, BIT(SETTING_SANDBOX), "t"));
    settings_free(s);
}
END_TEST

START_TEST(after_a_repair_the_directory_still_counts)
{
    unsigned repaired = BIT(SETTING_ENVIRONMENTS);
    ck_assert_uint_eq(settings_after_repair(BIT(SETTING_SOURCES) | BIT(SETTING_ROOTS), repaired),
                      0);
    ck_assert_uint_eq(settings_after_repair(BIT(SETTING_CWD), repaired), BIT(SETTING_CWD));
    ck_assert_uint_eq(settings_after_repair(BIT(SETTING_SOURCES), BIT(SETTING_SANDBOX)),
                      BIT(SETTING_SOURCES));
}
END_TEST

Suite *suite_settings(void)
{
    const TTest *const tests[] = {
        a_resume_brings_what_is_not_stored,
        a_resume_is_bare_where_nothing_was_given,
        equal_settings_do_not_differ,
        what_is_not_known_counts_as_equal,
        an_update_replaces_what_it_names,
        a_lost_sandbox_and_environments_are_repaired_together_with_the_directory,
        nothing_else_is_repaired,
        after_a_repair_the_directory_still_counts,
        NULL,
    };
    Suite *suite = unit_suite("settings", tests);
    TCase *each = tcase_create("each");
    tcase_add_loop_test(each, each_setting_is_compared, 0, SETTINGS);
    suite_add_tcase(suite, each);
    return suite;
}
