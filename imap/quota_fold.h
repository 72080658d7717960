/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_FOLD_H
#define INCLUDED_QUOTA_FOLD_H
/*
 * quota_fold -- what one transaction does to each quota root, until it is written
 */
#include "quota.h"
#include "strarray.h"

struct quota_fold {
    char *root;
    int64_t diff[QUOTA_NUMRESOURCES];   /* to be added to the usage */
    int64_t useds[QUOTA_NUMRESOURCES];  /* with hasuseds: the usage before diff */
    int64_t limits[QUOTA_NUMRESOURCES]; /* with haslimits: the new limits; makes the root */
    bool hasuseds, haslimits, deleted;
    uint64_t modseq;    /* given by the caller; 0: next */
    uint64_t newmodseq; /* to be stored; 0: follows from the record */
};

/* NULL: the transaction did nothing to this root. */
const struct quota_fold *quota_fold_find(struct txn *txn, const char *root);
bool quota_fold_isdirty(const struct quota_fold *fold);
/* All roots, sorted by bytes. */
void quota_fold_roots(struct txn *txn, strarray_t *roots);
/*
 * Changes *q, the record as it is in the database, to what the transaction makes of it. r: what
 * reading it said; returned unless the transaction makes or removes the root. quiet: an
 * underflow is not logged.
 */
int quota_fold_apply(const struct quota_fold *fold, struct quota *q, int r, bool quiet);

/* quota_db.c: the commit hook, and opening the database before its lock is taken. */
int quota_write_folds(struct txn *txn, void *rock);
int quota_open_early(struct txn *txn);

#endif
