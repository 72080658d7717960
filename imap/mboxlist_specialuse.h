/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_SPECIALUSE_H
#define INCLUDED_MBOXLIST_SPECIALUSE_H
/*
 * mboxlist_specialuse -- what \Sent, \Trash ... mean for create, delete and rename (handbook 04 §6.2)
 *
 * The attributes of a mailbox are the owner's private annotation /specialuse: names separated by
 * blanks. Which may be set is specialuse.h's affair.
 */
#include <stdbool.h>

#include "buf.h"
#include "mbentry.h"
#include "txn.h"

#define SPECIALUSE_ENTRY "/specialuse"

/* Is attr (any case) in the list? */
bool specialuse_contains(const char *list, const char *attr);
/* Right below the INBOX of its owner? Only there attributes may be. */
bool specialuse_place_isvalid(const char *name);
/* Replaces *out by the attributes of a mailbox, "" for none. */
int specialuse_of(const mbentry_t *entry, struct txn *txn, struct buf *out);
/* IMAP_PERMISSION_DENIED when the mailbox may have no children (option specialuse_nochildren). */
int specialuse_check_nochildren(const mbentry_t *entry, struct txn *txn);
/* IMAP_MAILBOX_SPECIALUSE when it may not be deleted or moved away (option specialuse_protect). */
int specialuse_check_protected(const mbentry_t *entry, struct txn *txn);

#endif
