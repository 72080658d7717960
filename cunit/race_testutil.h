/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * race_testutil -- two processes that start together, and what they say
 *
 * Both are made, wait at a gate, and go on when both are there.
 */
#ifndef CYL_RACE_TESTUTIL_H
#define CYL_RACE_TESTUTIL_H

#include <stddef.h>

#include "util.h"

struct race_gate {
    int ready[2], go[2];
};

/* Error codes of the table fit in an exit code, one more than their number. */
int race_exit_code(int r);
/* In a process: said to be here, waits until both are. */
void race_pass(struct race_gate *gate);
/* Returns an imap_err code. */
typedef int racer_fn(struct race_gate *gate, unsigned round);
/* *r1 and *r2: exit codes. */
void race_run(racer_fn *one, racer_fn *two, unsigned round, int *r1, int *r2);
void race_assert_one_of(int code, const int *allowed, size_t n);
#define RACE_ASSERT_ONE_OF(code, ...)                              \
    do {                                                           \
        const int allowed_[] = { __VA_ARGS__ };                    \
        race_assert_one_of(code, allowed_, array_size(allowed_)); \
    } while (0)

#endif
