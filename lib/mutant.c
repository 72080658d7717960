/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutant -- wrong on purpose, for tests
 *
 * See the header. The environment is read before main, as a program may overwrite it with
 * a process title.
 */
#include <config.h>

#include "mutant.h"

#ifdef ENABLE_TEST_HOOKS

#include <stdlib.h>
#include <string.h>

static char chosen[64];

__attribute__((constructor)) static void read_environment(void)
{
    const char *name = getenv("CYLINDER_MUTANT");

    if (name && strlen(name) < sizeof(chosen)) memcpy(chosen, name, strlen(name) + 1);
}

bool mutant_is(const char *name)
{
    return chosen[0] && !strcmp(name, chosen);
}

#else

/* A translation unit must declare something. */
typedef int mutant_not_built;

#endif
