/* Runs all suites; the last line is Check's own count. */
#include "tests/unit/unit.h"

int main(void)
{
    SRunner *runner = srunner_create(NULL);
#define UNIT_ADD(name) srunner_add_suite(runner, suite_##name());
    UNIT_SUITES(UNIT_ADD)
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
