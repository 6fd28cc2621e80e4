#include "daemon/policy.h"
#include "tests/unit/unit.h"

/* In the order of struct policy_case: moves, resume, owner free, owner busy, stay, target, when it
 * came, when its rival came. */
static const struct {
    const char *what;
    struct policy_case p;
    enum policy want;
} table[] = {
    {"a busy owner, somebody free", {MOVES_AUTO, 0, 0, 1, STAY_NOT, 1, 5, 0}, POLICY_MOVE},
    {"the owner is free, too", {MOVES_AUTO, 0, 1, 0, STAY_NOT, 1, 5, 0}, POLICY_OWNER},
    {"the owner is free, moves are off", {MOVES_NEVER, 0, 1, 0, STAY_NOT, 1, 5, 0}, POLICY_OWNER},
    {"nobody is free", {MOVES_AUTO, 0, 0, 1, STAY_NOT, 0, 5, 0}, POLICY_WAIT},
    {"the owner is cleaned or starts", {MOVES_AUTO, 0, 0, 0, STAY_NOT, 1, 5, 0}, POLICY_WAIT},
    {"something holds the thread", {MOVES_AUTO, 0, 0, 1, STAY_TERMINAL, 1, 5, 0}, POLICY_WAIT},
    {"moves are off", {MOVES_NEVER, 0, 0, 1, STAY_NOT, 1, 5, 0}, POLICY_WAIT},
    {"moves are off, a resume", {MOVES_NEVER, 1, 0, 1, STAY_NOT, 1, 5, 0}, POLICY_WAIT},
    {"only resumes move, a turn", {MOVES_RESUME, 0, 0, 1, STAY_NOT, 1, 5, 0}, POLICY_WAIT},
    {"only resumes move, a resume", {MOVES_RESUME, 1, 0, 1, STAY_NOT, 1, 5, 0}, POLICY_MOVE},
    {"somebody came before", {MOVES_AUTO, 0, 0, 1, STAY_NOT, 1, 5, 4}, POLICY_WAIT},
    {"somebody came after", {MOVES_AUTO, 0, 0, 1, STAY_NOT, 1, 5, 6}, POLICY_MOVE},
    {"a resume, somebody came before", {MOVES_AUTO, 1, 0, 1, STAY_NOT, 1, 5, 4}, POLICY_WAIT},
    {"the owner is free though somebody came before",
     {MOVES_AUTO, 0, 1, 0, STAY_NOT, 1, 5, 4},
     POLICY_OWNER},
};

START_TEST(decides)
{
    ck_assert_msg(policy_decide(&table[_i].p) == table[_i].want, "%s", table[_i].what);
}
END_TEST

START_TEST(nothing_that_holds_a_thread_is_passed_over)
{
    struct policy_case p = table[0].p;
    p.stay = (enum stay)_i;
    ck_assert_int_eq(policy_decide(&p), _i == STAY_NOT ? POLICY_MOVE : POLICY_WAIT);
}
END_TEST

Suite *suite_policy(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, decides, 0, ARRAY_LEN(table));
    tcase_add_loop_test(tcase, nothing_that_holds_a_thread_is_passed_over, 0, STAYS);
    suite_add_tcase(suite, tcase);
    return suite;
}
