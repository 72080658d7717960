/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_COMMIT_H
#define INCLUDED_JOURNAL_COMMIT_H
/*
 * journal_commit -- from a sealed record to durable, applied files
 */
#include <stdbool.h>
#include <stdint.h>

struct journal;
struct journal_record;

struct journal_commit {
    /* Called when the early databases are applied: their locks may go (NULL: no such thing). */
    void (*early_applied)(void *rock);
    void *rock;
    /* out */
    uint64_t lsn;  /* of the record; 0: it was not appended, and never happened */
    bool durable;  /* it can't be undone any more, whatever is returned */
};
/*
 * Commits: appends the record, applies its early databases, syncs the log, applies the rest. The
 * caller holds all locks that the record names, and gives them back when this returns.
 * 0: durable and applied. Otherwise -errno: lsn and durable tell how far it got; what is
 * appended and not applied will be finished by the next who takes the locks.
 */
int journal_commit(struct journal *j, struct journal_record *rec, struct journal_commit *commit);

#endif
