/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutant -- wrong on purpose, so that tests can show that they would notice
 *
 * A build with --enable-test-hooks in whose environment CYLINDER_MUTANT is such a name leaves out a sync, or
 * swaps two steps, at the one place that asks for the name. In any other build it is
 * constant false. Names are listed in doc/crash-tests.md. Include config.h before.
 */
#ifndef CYL_MUTANT_H
#define CYL_MUTANT_H

#include <stdbool.h>

#ifdef ENABLE_TEST_HOOKS
bool mutant_is(const char *name);
#else
#define mutant_is(name) false
#endif

#endif
