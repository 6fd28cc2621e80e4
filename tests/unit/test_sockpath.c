#include "proto/sockpath.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Each test has a directory of its own and none of the variables. */
static char directory[] = "/tmp/codex-pool-unit-XXXXXX";
static char file[128];

static void setup(void)
{
    static const char *const variables[] = {"CODEX_POOL_SOCKET", "XDG_RUNTIME_DIR",
                                            "XDG_CONFIG_HOME"};
    char subdirectory[64];
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        unsetenv(variables[i]);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(subdirectory, sizeof(subdirectory), "%s/codex-pool", directory);
    ck_assert_int_eq(mkdir(subdirectory, 0700), 0);
    (void)snprintf(file, sizeof(file), "%s/config.json", subdirectory);
}

static void teardown(void)
{
    (void)remove(file);
    *strrchr(file, '/') = '\0';
    (void)remove(file);
    (void)remove(directory);
}

static void write_config(const char *text)
{
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    setenv("XDG_CONFIG_HOME", directory, 1);
}

static bool system_wide(void)
{
    return access("/etc/codex-pool/config.json", F_OK) == 0;
}

static void ck_find(const char *flag, const char *configured, const char *want)
{
    _cleanup_free_ char *path = NULL;
    ck_assert_int_eq(sockpath_find(flag, configured, &path), 0);
    ck_assert_str_eq(path, want);
}

static void ck_client(const char *flag, const char *want)
{
    _cleanup_free_ char *path = NULL;
    ck_assert_int_eq(sockpath_find_for_client(flag, &path), 0);
    ck_assert_str_eq(path, want);
}

static void ck_config(const char *flag, const char *want)
{
    _cleanup_free_ char *path = NULL;
    ck_assert_int_eq(sockpath_config_file(flag, &path), 0);
    ck_assert_pstr_eq(path, want);
}

START_TEST(the_first_place_that_says_something_counts)
{
    ck_find(NULL, NULL, "/run/codex-pool/codex-pool.sock");
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    ck_find(NULL, NULL, "/run/user/7/codex-pool/codex-pool.sock");
    ck_find(NULL, "/configured", "/configured");
    setenv("CODEX_POOL_SOCKET", "/variable", 1);
    ck_find(NULL, NULL, "/variable");
    ck_find(NULL, "/configured", "/variable");
    ck_find("/flag", "/configured", "/flag");
}
END_TEST

START_TEST(what_is_empty_says_nothing)
{
    setenv("XDG_RUNTIME_DIR", "", 1);
    setenv("CODEX_POOL_SOCKET", "", 1);
    ck_find("", "", "/run/codex-pool/codex-pool.sock");
    ck_find("", "/configured", "/configured");
    setenv("XDG_CONFIG_HOME", "", 1);
    if (!system_wide())
        ck_config("", NULL);
}
END_TEST

START_TEST(the_configuration_is_found)
{
    ck_config("/any/file", "/any/file");
    setenv("XDG_CONFIG_HOME", directory, 1);
    ck_config(NULL, system_wide() ? "/etc/codex-pool/config.json" : NULL);
    write_config("{}");
    ck_config(NULL, file);
    ck_config("/any/file", "/any/file");
    unsetenv("XDG_CONFIG_HOME");
    ck_config(NULL, system_wide() ? "/etc/codex-pool/config.json" : NULL);
}
END_TEST

START_TEST(a_client_reads_the_configuration)
{
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    write_config("{\"poolSize\":3,\"socket\":\"/from/the/file\"}");
    ck_client(NULL, "/from/the/file");
    ck_client("", "/from/the/file");
    ck_client("/flag", "/flag");
    setenv("CODEX_POOL_SOCKET", "/variable", 1);
    ck_client(NULL, "/variable");
    ck_client("/flag", "/flag");
}
END_TEST

START_TEST(a_configuration_that_says_nothing_is_skipped)
{
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"socket\":null}", "{\"socket\":5}", "{\"socket\":\"\"}", "nonsense",
    };
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        write_config(texts[i]);
        ck_client(NULL, "/run/user/7/codex-pool/codex-pool.sock");
    }
    /* Not a file at all. */
    ck_assert_int_eq(remove(file), 0);
    ck_assert_int_eq(mkdir(file, 0700), 0);
    ck_client(NULL, "/run/user/7/codex-pool/codex-pool.sock");
}
END_TEST

START_TEST(an_address_has_room_for_107_bytes)
{
    struct sockaddr_un address;
    char path[200];
    memset(path, 'x', sizeof(path));
    path[107] = '\0';
    ck_assert_int_eq(sockpath_address(path, &address), 0);
    ck_assert_int_eq(address.sun_family, AF_UNIX);
    ck_assert_str_eq(address.sun_path, path);
    path[107] = 'x';
    path[108] = '\0';
    ck_assert_int_eq(sockpath_address(path, &address), -ENAMETOOLONG);
    ck_assert_int_eq(sockpath_address("/s", &address), 0);
    ck_assert_str_eq(address.sun_path, "/s");
}
END_TEST

Suite *suite_sockpath(void)
{
    const TTest *const tests[] = {
        the_first_place_that_says_something_counts,
        what_is_empty_says_nothing,
        the_configuration_is_found,
        a_client_reads_the_configuration,
        a_configuration_that_says_nothing_is_skipped,
        an_address_has_room_for_107_bytes,
        NULL,
    };
    Suite *suite = suite_create("sockpath");
    TCase *tcase = tcase_create("sockpath");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; tests[i]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return suite;
}
