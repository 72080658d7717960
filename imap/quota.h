/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_H
#define INCLUDED_QUOTA_H
/*
 * quota -- quota roots: limits and usage, raw and conversation-aware
 *
 * The database keeps raw sums (every copy counts). With quota_use_conversations, or
 * quota_report and quota_enforce for one use alone, the values of STORAGE and MESSAGE
 * come from the Q record of the owner's conversations database (handbook 01 §6.6).
 * Usage changes are folded per transaction and written once at commit, under the lock of
 * the database (quotalegacy: of the key), so concurrent users of a shared root never lose
 * each other's changes. Reads inside the transaction see what it has folded so far.
 */
#include <stdbool.h>
#include <stdint.h>

#include "quota_codec.h" /* struct quota, quota_encode, quota_free ... */
#include "txn.h"

/* Makes *q; quota_free() whatever is returned. IMAP_QUOTAROOT_NONEXISTENT. */
int quota_read(const char *root, struct txn *txn, struct quota *q);
/* What a usage is read for: to be shown (GETQUOTA, alerts), or to check a limit. */
enum quota_use { QUOTA_REPORT, QUOTA_ENFORCE };
/* Does STORAGE and MESSAGE count each message of a user once for this use? (doc/quota.md) */
bool quota_uses_conversations(enum quota_use use);
/* As quota_read with STORAGE and MESSAGE as they count for this use. */
int quota_read_withconversations(const char *root, enum quota_use use, struct txn *txn, struct quota *q);
/* Nearest root at or above name; *rootp NULL if none (caller frees). */
int quota_findroot(const char *name, struct txn *txn, char **rootp);
/* Store limits (creates the root, with nothing used). modseq 0: next of the owner. */
int quota_write(struct txn *, const struct quota *q);
/* Usage becomes these raw values (recount); the caller's locks keep the mailboxes of the root still. */
int quota_set_useds(struct txn *, const char *root, const int64_t useds[QUOTA_NUMRESOURCES]);
int quota_deleteroot(struct txn *, const char *root);
/* Add diff (raw units: bytes, messages, bytes, folders) to root; folded until commit. */
int quota_update_useds(struct txn *, const char *root, const int64_t diff[QUOTA_NUMRESOURCES], const char *mboxname);
/* A replica's transaction: changes of usage take no new modseq of the user. */
void quota_set_silent(struct txn *);
/* IMAP_QUOTA_EXCEEDED if used + diff > limit; diff -1: not checked (handbook 01 §6.5). */
int quota_check(const struct quota *q, enum quota_resource res, int64_t delta);
int quota_foreach(const char *prefix, int (*cb)(const struct quota *, void *), void *rock);

#endif
