/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_OPS_H
#define INCLUDED_MBOXLIST_OPS_H
/*
 * mboxlist_ops -- what create, delete, rename and the others have in common
 */
#include "hash.h"
#include "mboxlist.h"
#include "ptrarray.h"

/* ---- who may what ---- */
/* Does userid own the mailbox with the powers of an admin (implicit_owner_rights has 'a')? */
bool mboxlist_owner_isadmin(const char *userid, const char *name);
/* Rights of the session by the ACL of the entry, an admin's implicit l and a included. */
uint32_t mboxlist_rights(const mbentry_t *entry, bool isadmin, const struct auth_state *auth);
/* What to say when a right is missing: PERMISSION_DENIED, or NONEXISTENT to whom must not know of it. */
int mboxlist_denied(const mbentry_t *entry, bool isadmin, const struct auth_state *auth);

/* ---- names and entries ---- */
/* Nearest ancestor that is a mailbox; NULL with 0: none. */
int mboxlist_nearest_parent(const char *name, struct txn *txn, mbentry_t **parentp);
/* Locks the owners of both names (b may be NULL), in the right order. */
int mboxlist_lock_names(struct txn *txn, const char *a, const char *b);
/* The entries of a tree, copied, in database order: ptrarray of mbentry_t. */
int mboxlist_collect_tree(const char *name, unsigned flags, ptrarray_t *entries);
void mboxlist_collect_free(ptrarray_t *entries);
/*
 * Of root and all below it, one look for all: the names that a look-up may find, or that a damaged record has. The table is
 * constructed here; the caller frees it, with NULL, also after an error.
 */
int mboxlist_taken_names(const char *root, struct txn *txn, hash_table *taken);
bool mboxlist_is_taken(const hash_table *taken, const char *name);
/* Does anything live below this name? */
int mboxlist_has_children(const char *name, bool *yes);

/* ---- steps ---- */
/* All missing ancestors of name become mailboxes. */
int mboxlist_create_ancestors(struct txn *txn, const struct mboxlist_createargs *args);
/* One mailbox gets another name or partition; no checks. foldermodseq 0: the next of the mailbox. */
struct tree_roots;
struct rename_one {
    const mbentry_t *old;
    const char *newname, *partition; /* partition NULL: stays */
    uint32_t uidvalidity;            /* 0: stays */
    bool silent;                     /* replica: modseqs stay */
    const char *olduser, *newuser;   /* both set: a user is renamed, his ACL entries follow */
    const struct tree_roots *roots;  /* the quota roots of where it goes; NULL: looked up */
};
int mboxlist_rename_one(struct txn *txn, const struct rename_one *args);
/* RENAME INBOX X: X is made, the messages move. */
int mboxlist_rename_inbox(struct txn *txn, const mbentry_t *old,
                          const struct mboxlist_createargs *target);
/* The mailbox is removed for good. */
int mboxlist_delete_one(struct txn *txn, const mbentry_t *entry, bool silent);
/* Quota roots at and below old get twins for the new name; the old ones go. */
int mboxlist_move_quotaroots_begin(struct txn *txn, const char *oldname, const char *newname);
int mboxlist_move_quotaroots_end(struct txn *txn, const char *oldname);

#endif
