/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_SPECIALUSE_H
#define INCLUDED_MBOXLIST_SPECIALUSE_H
/*
 * mboxlist_specialuse -- \Sent, \Trash ...: which mailbox of a user is what (RFC 6154, handbook 04 §6.2)
 *
 * The attributes of a mailbox are the owner's private annotation /specialuse: names separated by
 * blanks. A user has at most one mailbox for each.
 */
#include <stdbool.h>

#include "buf.h"
#include "mbentry.h"
#include "txn.h"

#define SPECIALUSE_ENTRY "/specialuse"

/* Is attr (any case) in the list? */
bool specialuse_contains(const char *list, const char *attr);
/* Replaces *out by the list in its usual spelling, each name once. IMAP_ANNOTATION_BADENTRY for a name
 * that is not allowed. */
int specialuse_canonical(const char *list, struct buf *out);
/*
 * May the mailbox of that name get these attributes? IMAP_ANNOTATION_BADENTRY: a name not allowed;
 * IMAP_MAILBOX_SPECIALUSE: not right below an INBOX, or another mailbox has one of them.
 */
int specialuse_check(const char *name, const char *list, struct txn *txn);
/* Right below the INBOX of its owner? Only there attributes may be. */
bool specialuse_place_isvalid(const char *name);
/* Replaces *out by the attributes of a mailbox, "" for none. */
int specialuse_of(const mbentry_t *entry, struct txn *txn, struct buf *out);
/* Internal name (malloc'ed) of the user's mailbox with that attribute; NULL with 0: none. */
int specialuse_find(const char *userid, const char *attr, struct txn *txn, char **namep);
/* IMAP_PERMISSION_DENIED when the mailbox may have no children (option specialuse_nochildren). */
int specialuse_check_nochildren(const mbentry_t *entry, struct txn *txn);
/* IMAP_MAILBOX_SPECIALUSE when it may not be deleted or moved away (option specialuse_protect). */
int specialuse_check_protected(const mbentry_t *entry, struct txn *txn);

#endif
