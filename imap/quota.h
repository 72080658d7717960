/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_H
#define INCLUDED_QUOTA_H
/*
 * quota -- quota roots: limits and usage, raw and conversation-aware
 *
 * The database keeps raw sums (every copy counts). With quota_use_conversations
 * the values for display and for checks of STORAGE and MESSAGE come from the Q
 * record of the owner's conversations database (handbook 01 §6.6).
 * Usage changes are folded per transaction and written once at commit.
 */
#include <stdint.h>

#include "quota_codec.h" /* struct quota, quota_encode, quota_free ... */
#include "txn.h"

int quota_read(const char *root, struct txn *txn, struct quota *q); /* IMAP_QUOTAROOT_NONEXISTENT */
/* As quota_read with STORAGE and MESSAGE as they are displayed and checked. */
int quota_read_withconversations(const char *root, struct txn *txn, struct quota *q);
/* Nearest root at or above name; *rootp NULL if none (caller frees). */
int quota_findroot(const char *name, struct txn *txn, char **rootp);
/* Store limits (creates the root). modseq 0: next. */
int quota_write(struct txn *, const struct quota *q);
int quota_deleteroot(struct txn *, const char *root);
/* Add diff (raw units: bytes, messages, bytes, folders) to root; folded until commit. */
int quota_update_useds(struct txn *, const char *root, const int64_t diff[QUOTA_NUMRESOURCES], const char *mboxname);
/* IMAP_QUOTA_EXCEEDED if used + diff > limit; diff -1: not checked (handbook 01 §6.5). */
int quota_check(const struct quota *q, enum quota_resource res, int64_t delta);
int quota_foreach(const char *prefix, int (*cb)(const struct quota *, void *), void *rock);

#endif
