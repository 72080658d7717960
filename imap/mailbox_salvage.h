/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_SALVAGE_H
#define INCLUDED_MAILBOX_SALVAGE_H
/*
 * mailbox_salvage -- open a mailbox for repair although cyrus.index or cyrus.header is lost or damaged
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox.h"

struct mailbox_salvage {
    bool index_missing; /* there was no cyrus.index */
    bool
        index_damaged; /* its header was damaged, or it was cut off: the records that can be read are kept */
    bool new_uidvalidity; /* what UIDs clients have seen is not known for sure */
    bool header_missing;  /* there was no cyrus.header, or no mailbox of this name in it */
    unsigned
        lost_flags; /* user flags whose names went with cyrus.header: they are UnknownFlag1 ... now */
};

/*
 * As mailbox_open_mbentry_iwl, but what makes that fail is put right in the handle as far as it can be known: from the
 * records themselves, mailboxes.db and the quota roots. Counts and records are the caller's affair (damaged records are
 * still there, mailbox_wipe_record takes them out). The index is then written as a whole at the commit, and a damaged
 * one is kept as cyrus.index.damaged. *salvage tells what was done; all false: nothing was wrong.
 *
 * Nothing counts as lost because it could not be read: IMAP_IOERROR (logged) for any errno but ENOENT,
 * IMAP_MAILBOX_NOTSUPPORTED for an index of a version newer than is known.
 */
int mailbox_open_salvage(struct txn *txn, const mbentry_t *mbentry, struct mailbox_salvage *salvage,
                         struct mailbox **mboxp);

/* Is the cache record of rec there and whole? Makes nothing anew. */
bool mailbox_cache_isgood(struct mailbox *mailbox, const struct index_record *rec);

#endif
