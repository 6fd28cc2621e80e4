#include "proto/method.h"
#include "tests/unit/unit.h"

START_TEST(the_table_is_sorted)
{
    size_t count;
    const struct method *table = method_table(&count);
    ck_assert_uint_gt(count, 50);
    for (size_t i = 1; i < count; i++)
        ck_assert_msg(strcmp(table[i - 1].name, table[i].name) < 0, "%s and %s", table[i - 1].name,
                      table[i].name);
}
END_TEST

START_TEST(every_entry_is_found)
{
    size_t count;
    const struct method *table = method_table(&count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(method_find(slice_str(table[i].name)) == &table[i], "%s", table[i].name);
}
END_TEST

/* A name that differs in one place is another method. */
START_TEST(names_are_exact)
{
    size_t count;
    const struct method *table = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        char name[128];
        size_t n = strlen(table[i].name);
        (void)snprintf(name, sizeof(name), "%sx", table[i].name);
        ck_assert_str_ne(method_find((struct slice){name, n - 1})->name, table[i].name);
        ck_assert_str_ne(method_find(slice_str(name))->name, table[i].name);
        name[0] = (char)(name[0] - 'a' + 'A');
        ck_assert_str_ne(method_find((struct slice){name, n})->name, table[i].name);
    }
}
END_TEST

START_TEST(what_is_unknown_is_shared)
{
    static const char *const names[] = {"", "model/list", "thread/read", "zzz", "a", "no/such"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        ck_assert_int_eq(method_find(slice_str(names[i]))->class, METHOD_SHARED);
        ck_assert_uint_eq(method_find(slice_str(names[i]))->flags, 0);
    }
    ck_assert_int_eq(method_find(SLICE_NULL)->class, METHOD_SHARED);
}
END_TEST

static const struct {
    const char *name;
    enum method_class class;
    unsigned flags;
} known[] = {
    {"initialize", METHOD_INITIALIZE, 0},
    {"thread/loaded/list", METHOD_LOADED, 0},
    {"thread/start", METHOD_STREAM, METHOD_OPENS},
    {"thread/fork", METHOD_STREAM, METHOD_OPENS | METHOD_LOCKS},
    {"thread/resume", METHOD_STREAM, METHOD_OPENS | METHOD_RESUME | METHOD_LOCKS},
    {"turn/start", METHOD_STREAM, METHOD_TURN},
    {"review/start", METHOD_STREAM, METHOD_PROMISES},
    {"thread/compact/start", METHOD_STREAM, METHOD_PROMISES},
    {"thread/shellCommand", METHOD_STREAM, METHOD_PROMISES},
    {"thread/goal/set", METHOD_STREAM, METHOD_GOAL | METHOD_PERSISTS},
    {"thread/queue/add", METHOD_STREAM, METHOD_QUEUE | METHOD_PERSISTS},
    {"thread/queue/start", METHOD_STREAM, METHOD_QUEUE},
    {"command/exec", METHOD_STREAM, METHOD_EXEC},
    {"command/exec/terminate", METHOD_FOLLOW, METHOD_EXEC},
    {"turn/interrupt", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"turn/steer", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"thread/unsubscribe", METHOD_OWNER, METHOD_SUBSCRIBER | METHOD_UNSUBSCRIBE},
    {"thread/backgroundTerminals/list", METHOD_OWNER, METHOD_SUBSCRIBER},
    {"thread/archive", METHOD_OWNER, METHOD_ENDS | METHOD_LOCKS},
    {"thread/delete", METHOD_OWNER, METHOD_ENDS | METHOD_LOCKS},
    {"thread/name/set", METHOD_OWNER, METHOD_PERSISTS},
    {"process/spawn", METHOD_PINNED, 0},
    {"process/kill", METHOD_FOLLOW, 0},
    {"fs/watch", METHOD_PINNED, 0},
    {"fs/unwatch", METHOD_FOLLOW, 0},
    {"thread/realtime/start", METHOD_PINNED, METHOD_MEMORY},
    {"account/login/start", METHOD_GLOBAL, METHOD_STATE},
    {"account/logout", METHOD_GLOBAL, METHOD_STATE},
    {"config/value/write", METHOD_GLOBAL, METHOD_STATE},
    {"fs/writeFile", METHOD_GLOBAL, 0},
};

START_TEST(known_methods_have_their_class)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const struct method *m = method_find(slice_str(known[i].name));
        ck_assert_str_eq(m->name, known[i].name);
        ck_assert_msg(m->class == known[i].class, "%s", m->name);
        ck_assert_msg(m->flags == known[i].flags, "%s", m->name);
    }
}
END_TEST

/* Flags mean something only together with their class. */
START_TEST(flags_fit_their_class)
{
    size_t count;
    const struct method *table = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        unsigned f = table[i].flags;
        bool stream = table[i].class == METHOD_STREAM, owner = table[i].class == METHOD_OWNER;
        unsigned of_streams = METHOD_OPENS | METHOD_RESUME | METHOD_TURN | METHOD_PROMISES |
                              METHOD_GOAL | METHOD_QUEUE;
        unsigned of_owners = METHOD_SUBSCRIBER | METHOD_UNSUBSCRIBE | METHOD_ENDS;
        ck_assert_msg(stream || !(f & of_streams), "%s", table[i].name);
        ck_assert_msg(owner || !(f & of_owners), "%s", table[i].name);
        ck_assert_msg(table[i].class == METHOD_GLOBAL || !(f & METHOD_STATE), "%s", table[i].name);
        ck_assert_msg(!(f & METHOD_RESUME) || f & METHOD_OPENS, "%s", table[i].name);
        ck_assert_msg(table[i].class != METHOD_SHARED, "%s needs no entry", table[i].name);
    }
}
END_TEST

Suite *suite_method(void)
{
    const TTest *const tests[] = {
        the_table_is_sorted,
        every_entry_is_found,
        names_are_exact,
        what_is_unknown_is_shared,
        known_methods_have_their_class,
        flags_fit_their_class,
        NULL,
    };
    return unit_suite("method", tests);
}
