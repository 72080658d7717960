/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_NAMES_TESTUTIL_H
#define INCLUDED_NAMES_TESTUTIL_H
/*
 * names_testutil -- a configuration of mailbox names that a test may change
 */
#include "names_config.h"

/* In force from setup to teardown; setup gives it the defaults. */
extern struct names_config test_names;
void test_names_setup(void);
void test_names_teardown(void);

#endif
