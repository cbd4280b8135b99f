/*
 * Runs the suites and ends with CUnit's summary; the exit status is non-zero if anything failed.
 */
#include <stdlib.h>

#include <CUnit/Basic.h>

#include "tests/suites.h"

int main(void)
{
    unsigned failures;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return EXIT_FAILURE;
    suite_units();
    suite_config();
    suite_cli();
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    CU_cleanup_registry();
    return failures == 0 && CU_get_error() == CUE_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
