/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_RECOVER_H
#define INCLUDED_JOURNAL_RECOVER_H
/*
 * journal_recover -- from the files that a crash left to a store in order
 */
struct journal;
struct journal_recovery;

/* Under the exclusive open lock. On 0 the control page is new, and nothing is left to redo. */
int journal_do_recover(struct journal *j, struct journal_recovery *recovery);

#endif
