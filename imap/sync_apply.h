/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_APPLY_H
#define INCLUDED_SYNC_APPLY_H
/*
 * sync_apply -- APPLY MAILBOX: make a mailbox of the replica what the master says
 *
 * One command is one transaction: all of it is stored, or nothing, also when the
 * checksums do not fit in the end. Handbook 03 §6.3, §7, §8.
 */
#include "mailbox.h"
#include "ptrarray.h"
#include "sync_folder.h"
#include "sync_record.h"
#include "sync_reserve.h"

struct dlist;

#define SYNC_APPLY_FORCE 1u /* lower numbers are taken, another UNIQUEID is replaced */
#define SYNC_APPLY_LOCALONLY 2u
/*
 * kl: the argument of APPLY MAILBOX. Files of new messages come from reserve. Errors are those of
 * the handbook: IMAP_SYNC_CHECKSUM, IMAP_SYNC_CHANGED, IMAP_MAILBOX_MOVED ...
 */
int sync_apply_mailbox(const struct dlist *kl, const struct sync_reserve *reserve, unsigned flags);
/*
 * The same for several (kvlists) in one transaction, all or none. Each must be there and in the state that its SINCE keys tell:
 * IMAP_SYNC_CHANGED.
 */
int sync_apply_mailboxes(const ptrarray_t *list, const struct sync_reserve *reserve);

/*
 * A mailbox that has just got its name in this transaction, and differs from the master's in nothing else, gets his numbers and rights.
 * What would fall stays: the master will ask what is here, and say what he wants.
 */
struct sync_renamed {
    const char *name, *acl;
    modseq_t highestmodseq, foldermodseq, xconvmodseq; /* the last 0: not told */
};
int sync_apply_renamed(struct txn *txn, const struct sync_renamed *renamed);

/*
 * Walk the records of the master over those of a mailbox that is open for writing, and stage what
 * differs. *appendedp: new messages came. IMAP_SYNC_CHECKSUM when a record cannot be applied.
 */
int sync_apply_records(struct mailbox *mailbox, const struct sync_folder *folder,
                       struct sync_records *incoming, const struct sync_reserve *reserve,
                       unsigned flags, bool *appendedp);

/* Append one record as it is; the file comes from reserve. IMAP_SYNC_CHECKSUM: a live record without
 * a file. */
int sync_append_record(struct mailbox *mailbox, struct sync_record *from,
                       const struct sync_reserve *reserve);
/* Append one message as it is from a file (path NULL: an expunged record without one). */
int sync_append_file(struct mailbox *mailbox, struct sync_record *from, const char *path);

#endif
