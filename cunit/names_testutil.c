/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names_testutil -- a configuration of mailbox names that a test may change
 */
#include <config.h>

#include "names_testutil.h"

#include <stddef.h>

struct names_config test_names;

void test_names_setup(void)
{
    names_config_defaults(&test_names);
    names_config_override(&test_names);
}

void test_names_teardown(void)
{
    names_config_override(NULL);
}
