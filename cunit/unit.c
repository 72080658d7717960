/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unit -- runs the unit tests
 *
 * Usage: unit [SUITE...]. Without names every suite runs. Output is that of the
 * check library ("N%: Checks: N, Failures: N, Errors: N"); exit code 0 when all
 * passed, 1 when a test failed, 64 when a name is unknown.
 * CK_FORK=no (check's own switch) runs the tests in one process for a debugger.
 */
#include <config.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define SUITE(name) Suite *name##_suite(void);
#include "unit_suites.h"
#undef SUITE

static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {
#define SUITE(name) { #name, name##_suite },
#include "unit_suites.h"
#undef SUITE
    { NULL, NULL },
};

static void add_suite(SRunner **runner, Suite *suite)
{
    if (*runner)
        srunner_add_suite(*runner, suite);
    else
        *runner = srunner_create(suite);
}

static int add_named(SRunner **runner, const char *name)
{
    for (size_t i = 0; suites[i].name; i++) {
        if (!strcmp(suites[i].name, name)) {
            add_suite(runner, suites[i].make());
            return 0;
        }
    }
    fprintf(stderr, "unit: no suite named %s; there are:", name);
    for (size_t i = 0; suites[i].name; i++) fprintf(stderr, " %s", suites[i].name);
    fputc('\n', stderr);
    return -1;
}

int main(int argc, char **argv)
{
    SRunner *runner = NULL;

    /* A loaded machine under a sanitizer is no failure; only a hang is. */
    setenv("CK_DEFAULT_TIMEOUT", "120", 0);
    for (int i = 1; i < argc; i++) {
        if (add_named(&runner, argv[i])) return EX_USAGE;
    }
    if (argc < 2) {
        for (size_t i = 0; suites[i].name; i++) add_suite(&runner, suites[i].make());
    }
    if (!runner) {
        fputs("unit: no suites\n", stderr);
        return EX_SOFTWARE;
    }

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
