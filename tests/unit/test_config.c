#include "daemon/config.h"
#include "tests/unit/unit.h"

static const struct config_flags no_flags = {.socket = "/tmp/s", .log_level = -1, .log_format = -1};

static struct config *good(const char *text, const struct config_flags *flags)
{
    char *error;
    struct config *c = config_parse(text, "f.json", flags, &error);
    ck_assert_msg(c, "%s", error ? error : "no message");
    return c;
}

START_TEST(has_a_default_for_everything)
{
    struct config *c = good(NULL, &no_flags);
    ck_assert_int_eq(c->pool_size, 2);
    ck_assert(c->prewarm);
    ck_assert_int_eq(c->min_workers, 1);
    ck_assert_int_eq(c->idle_timeout_ms, 300000);
    ck_assert_int_eq(c->max_queue, 1024);
    ck_assert_int_eq(c->max_message_bytes, 67108864);
    ck_assert_int_eq(c->socket_mode, 0600);
    ck_assert_str_eq(c->codex_command, "codex");
    ck_assert_str_eq(c->codex_args[1], "thread_unload_delay_secs=0");
    ck_assert(config_has_id(c->allow_uids, 0) && config_has_id(c->allow_uids, geteuid()));
    ck_assert(!config_has_id(c->allow_uids, 54321));
    config_free(c);
}
END_TEST

START_TEST(prints_what_it_reads_back)
{
    struct config *a = good("{\"poolSize\":3,\"socketMode\":\"0660\",\"denyMethods\":[\"fs/*\"],"
                            "\"codex\":{\"env\":{\"A\":\"b=c\"},\"cwd\":\"/\"},"
                            "\"log\":{\"level\":\"debug\",\"format\":\"json\"},"
                            "\"allowGids\":[5],\"clientInfo\":{\"title\":\"T\"}}",
                            &no_flags);
    char *text = config_print(a);
    struct config *b = good(text, &no_flags);
    char *again = config_print(b);
    ck_assert_str_eq(text, again);
    ck_assert_int_eq(b->pool_size, 3);
    ck_assert_int_eq(b->socket_mode, 0660);
    ck_assert_str_eq(b->codex_env[0], "A=b=c");
    ck_assert_int_eq(b->log_format, LOG_JSON);
    ck_assert(config_same_codex(a, b));
    free(text);
    free(again);
    config_free(a);
    config_free(b);
}
END_TEST

static const struct {
    const char *text, *message;
} wrong[] = {
    {"{\"poolsize\":1}", "f.json: poolsize: unknown key"},
    {"{\"poolSize\":0}", "f.json: poolSize: must be a whole number from 1 to 256"},
    {"{\"poolSize\":257}", "f.json: poolSize: must be"},
    {"{\"poolSize\":1.5}", "f.json: poolSize: must be"},
    {"{\"poolSize\":\"1\"}", "f.json: poolSize: must be"},
    {"{\"poolSize\":1,\"poolSize\":2}", "f.json: poolSize: is there twice"},
    {"{\"minWorkers\":3}", "f.json: minWorkers: 3 is more than poolSize, 2"},
    {"{\"prewarm\":1}", "f.json: prewarm: must be true or false"},
    {"{\"socketMode\":600}", "f.json: socketMode: must be an octal mode"},
    {"{\"socketMode\":\"0400\"}", "f.json: socketMode: must be an octal mode"},
    {"{\"socketMode\":\"0968\"}", "f.json: socketMode: must be an octal mode"},
    {"{\"codex\":{\"cmd\":\"x\"}}", "f.json: codex.cmd: unknown key"},
    {"{\"codex\":{\"args\":[1]}}", "f.json: codex.args: must be an array of strings"},
    {"{\"codex\":{\"env\":{\"A\":1}}}", "f.json: codex.env.A: must be a string"},
    {"{\"clientInfo\":{\"nom\":\"x\"}}", "f.json: clientInfo.nom: unknown key"},
    {"{\"allowUids\":[-1]}", "f.json: allowUids: must be an array of numeric ids"},
    {"{\"denyMethods\":\"x\"}", "f.json: denyMethods: must be an array of strings"},
    {"{\"log\":{\"level\":\"loud\"}}", "f.json: log.level: must be error, warn"},
    {"{\"log\":{\"size\":1}}", "f.json: log.size: unknown key"},
    {"{\n\"poolSize\": 1,\n}", "f.json: line 3: not JSON"},
    {"{} x", "f.json: line 1: not JSON"},
    {"[]", "f.json: must hold one JSON object"},
};

START_TEST(names_the_file_and_the_key_of_what_is_wrong)
{
    char *error;
    const char *want = wrong[_i].message;
    ck_assert_ptr_null(config_parse(wrong[_i].text, "f.json", &no_flags, &error));
    ck_assert_msg(error && strncmp(error, want, strlen(want)) == 0, "\"%s\" is not \"%s…\"",
                  error ? error : "", want);
    free(error);
}
END_TEST

START_TEST(flags_go_before_the_file)
{
    struct config_flags flags = {.socket = "/a",
                                 .codex = "/c",
                                 .pool_size = 1,
                                 .log_level = LOG_TRACE,
                                 .log_format = LOG_JSON};
    struct config *c = good("{\"socket\":\"/b\",\"poolSize\":4,\"minWorkers\":4,"
                            "\"codex\":{\"command\":\"/d\"}}",
                            &flags);
    ck_assert_str_eq(c->socket, "/a");
    ck_assert_str_eq(c->codex_command, "/c");
    ck_assert_int_eq(c->pool_size, 1);
    ck_assert_int_eq(c->min_workers, 1);
    ck_assert_int_eq(c->log_level, LOG_TRACE);
    config_free(c);
}
END_TEST

START_TEST(refuses_a_socket_path_that_fits_no_address)
{
    char path[200], *error;
    struct config_flags flags = no_flags;
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    flags.socket = path;
    ck_assert_ptr_null(config_parse(NULL, NULL, &flags, &error));
    ck_assert_ptr_nonnull(strstr(error, "socket: "));
    free(error);
}
END_TEST

START_TEST(denies_exact_names_and_prefixes)
{
    struct config *c = good("{\"denyMethods\":[\"fs/*\",\"model/list\"]}", &no_flags);
    ck_assert(config_denies(c, SLICE("fs/readFile")));
    ck_assert(config_denies(c, SLICE("model/list")));
    ck_assert(!config_denies(c, SLICE("model/lists")));
    ck_assert(!config_denies(c, SLICE("fsx/readFile")));
    ck_assert(!config_denies(c, SLICE("fs")));
    config_free(c);
}
END_TEST

START_TEST(tells_whether_workers_would_start_alike)
{
    struct config *a = good("{\"codex\":{\"env\":{\"A\":\"1\"}}}", &no_flags);
    struct config *b = good("{\"codex\":{\"env\":{\"A\":\"1\"}},\"poolSize\":1}", &no_flags);
    struct config *c = good("{\"codex\":{\"env\":{\"A\":\"2\"}}}", &no_flags);
    struct config *d = good("{\"codex\":{\"env\":{\"A\":\"1\"},\"cwd\":\"/\"}}", &no_flags);
    ck_assert(config_same_codex(a, b));
    ck_assert(!config_same_codex(a, c));
    ck_assert(!config_same_codex(a, d));
    config_free(a);
    config_free(b);
    config_free(c);
    config_free(d);
}
END_TEST

Suite *suite_config(void)
{
    const TTest *const tests[] = {
        has_a_default_for_everything,
        prints_what_it_reads_back,
        flags_go_before_the_file,
        refuses_a_socket_path_that_fits_no_address,
        denies_exact_names_and_prefixes,
        tells_whether_workers_would_start_alike,
        NULL,
    };
    Suite *suite = unit_suite("config", tests);
    TCase *errors = tcase_create("errors");
    tcase_add_loop_test(errors, names_the_file_and_the_key_of_what_is_wrong, 0,
                        (int)ARRAY_LEN(wrong));
    suite_add_tcase(suite, errors);
    return suite;
}
