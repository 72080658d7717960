/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_testutil -- two views of one user, equal, for the tests of check_replication
 *
 * anna has INBOX and Work, with three messages each, two of them the same.
 */
#ifndef CYL_CHECK_TESTUTIL_H
#define CYL_CHECK_TESTUTIL_H

#include <stdbool.h>

#include "buf.h"
#include "check_replication_model.h"

extern struct check_user cr_a, cr_b;
extern struct check_run cr_run;
extern struct buf cr_told; /* a line for each difference that was told */
extern bool cr_recounts;   /* told too: of most tests they are not the matter */

void cr_setup(void);
void cr_teardown(void);
/* One more mailbox for a user, with the three messages. */
struct check_mailbox *cr_add_mailbox(struct check_user *user, const char *name, const char *id);
/* Compares everything; what was told. */
const char *cr_compare(void);
/* Replaces a string of a model. */
void cr_set(char **at, const char *value);

#endif
