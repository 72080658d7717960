/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_PENDING_H
#define INCLUDED_MBOXLIST_PENDING_H
/*
 * mboxlist_pending -- renames of users whose records follow: the view of mailboxes.db
 *
 * A user with thousands of folders is renamed by one record, PR<old INBOX>; his INBOX is renamed at once, the records of his folders
 * stay under the old names. While the record is there every reader of mailboxes.db sees by these functions what will be there when the
 * records have followed, byte for byte: N records under the new names, tombstones under the old ones, I records that tell of it.
 * Whoever changes an entry makes it follow first.
 *
 * A folder has not followed as long as there is a live record under its old name: so nothing else may come to life there before all
 * have followed. The old name is read before the new one, so a folder that follows meanwhile is seen at one of them.
 *
 * Its cyrus.header follows later (mboxlist_follow.h): as long as the record is there, or, when only the entry has followed, one with the key
 * PH<new name>, what the header says of the old name is read as if it said the new one.
 */
#include <stdbool.h>
#include <stddef.h>

#include "mbentry.h"
#include "ptrarray.h"
#include "strarray.h"
#include "txn.h"

struct mailbox_header;

/* ---- the view: as txn_db_fetch and so on; what is returned stays valid until the next call of one of them ---- */
int mboxlist_view_fetch(struct txn_db *db, const char *key, size_t keylen, const char **val, size_t *len);
/* What the I record says of the name, its committed value: brought to the view. */
int mboxlist_view_identity(struct txn_db *db, mbentry_t *i);
/* An iteration over the keys that begin with the prefix, which is the caller's. */
struct mboxlist_view_cursor {
    const char *prefix;
    size_t prefixlen;
    ptrarray_t memos; /* PTRARRAY_INITIALIZER */
};
void mboxlist_view_cursor_fini(struct mboxlist_view_cursor *cursor);
int mboxlist_view_fetchnext(struct txn_db *db, struct mboxlist_view_cursor *cursor, const char *key, size_t keylen, const char **foundkey,
                            size_t *foundkeylen, const char **val, size_t *len);
int mboxlist_view_foreach(struct txn_db *db, const char *prefix, size_t prefixlen, txn_db_cb *cb, void *rock);

/* ---- what a rename makes of an entry, at once or later ---- */
/* A user's own rights follow his name; the new entry of the ACL goes to the end. */
void mboxlist_renamed_acl(mbentry_t *entry, const char *olduser, const char *newuser);
/* The tombstone of the old name. */
mbentry_t *mboxlist_left_entry(const mbentry_t *old, modseq_t foldermodseq);

/* ---- renames ---- */
/* The INBOX has its new name, with this modseq; the folders are to follow. */
int mboxlist_pending_add(struct txn *txn, const char *oldinbox, const char *newinbox, modseq_t modseq);
/*
 * The entry of this name is to be changed, to be a live one or not: it follows first; under a name that is left, all of that user, if
 * it would be taken for one of those that are to follow.
 */
int mboxlist_pending_touch(struct txn *txn, struct txn_db *db, const char *name, bool live);
/* All entries that are to follow to or from one of this user's INBOX do so, in this transaction. */
int mboxlist_pending_settle(struct txn *txn, const char *inbox);
/* Is there any in this store, or a header that is to follow? Quick when there is not. */
bool mboxlist_pending_any(struct txn *txn);
/* A header that was read: name, quota root and rights as if it had followed. */
int mboxlist_pending_header(struct txn *txn, struct mailbox_header *h);

/* ---- following (mboxlist_follow.c) ---- */
/* INBOXes that renames went to, of users whose folders have entries or headers that are to follow. */
int mboxlist_pending_users(strarray_t *inboxes);
/*
 * Names of up to max folders of this INBOX whose entries (headers, if all entries have) are to follow, behind `after`, which is
 * changed ("": from the first one on).
 */
int mboxlist_pending_next(struct txn *txn, const char *inbox, unsigned max, struct buf *after, strarray_t *names);
/* The entry follows, its header in the same transaction; or (header false) later. */
int mboxlist_pending_followed(struct txn *txn, const char *name, bool header);
/* All entries have: the rename is over. IMAP_AGAIN: not all have. */
int mboxlist_pending_end(struct txn *txn, const char *inbox);

#endif
