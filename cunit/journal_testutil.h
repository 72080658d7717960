/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_testutil -- a journal in a scratch directory, and short ways to commit
 */
#ifndef CYL_JOURNAL_TESTUTIL_H
#define CYL_JOURNAL_TESTUTIL_H

#include "journal.h"
#include "journal_commit.h"
#include "journal_int.h"
#include "journal_record.h"
#include "testutil.h"

/* The scratch directory (jt_dir/journal has the journal), and the handle. */
extern char *jt_dir;
extern struct journal *jt;
extern struct journal_config jt_config;

void jt_setup(void);
void jt_teardown(void);
/* As a new process, without a clean end of the old one. */
void jt_reopen(void);
/* The same after a restart of the machine: no memory of the old one. */
void jt_reboot(struct journal_recovery *recovery);
/* jt_dir/name; valid until the 16th call after this one. */
const char *jt_path(const char *name);

/* One operation as a transaction under the lock "*U*NAME"; what journal_commit says. */
int jt_commit(const char *user, const struct journal_op *op, struct journal_commit *commit);
int jt_create(const char *user, const char *name, const char *text);
int jt_pwrite(const char *user, const char *name, unsigned off, const char *text);
int jt_symlink(const char *user, const char *target, const char *name);
int jt_op2(const char *user, enum journal_op_kind kind, const char *name, const char *name2);
int jt_event(const char *line);
/* The file's bytes are that text; NULL: there is no such file. */
void jt_assert_file(const char *name, const char *text);
/* Runs fn in a child; its exit code, or 256 + signal. */
int jt_child(void (*fn)(void));

#endif
