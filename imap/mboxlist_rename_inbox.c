/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_rename_inbox -- RENAME INBOX X: the messages move, the INBOX stays (RFC 3501 §6.3.5)
 *
 * The INBOX keeps its identity, UIDVALIDITY, UIDNEXT and children. 3.6.1 refuses an empty one and
 * ends when it is not selected (handbook 04 §3.8); here both work.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "append.h"
#include "imap_err.h"
#include "mboxlist_ops.h"
#include "xmalloc.h"

struct uids {
    uint32_t *uids;
    size_t n;
};

static int collect(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct uids *all = rock;

    all->uids[all->n++] = rec->uid;
    return 0;
}

static int move_messages(struct mailbox *inbox, struct mailbox *target, const char *userid)
{
    struct uids all = { .uids = xcalloc(mailbox_num_records(inbox) + 1, sizeof(uint32_t)) };
    uint32_t *newuids = xcalloc(mailbox_num_records(inbox) + 1, sizeof(*newuids));

    int r = mailbox_foreach(inbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED, collect, &all);
    if (!r && all.n) r = append_copy(inbox, target, all.uids, all.n, userid, ACL_FULL, newuids);
    for (size_t i = 0; !r && i < all.n; i++) {
        struct index_record rec;
        r = mailbox_find_uid(inbox, all.uids[i], &rec);
        if (!r) r = mailbox_expunge_record(inbox, &rec, 0);
    }
    free(all.uids);
    free(newuids);
    return r;
}

int mboxlist_rename_inbox(struct txn *txn, const mbentry_t *old,
                          const struct mboxlist_createargs *target)
{
    struct mailbox *inbox = NULL, *mailbox = NULL;

    int r = mboxlist_createmailbox(txn, target, &mailbox);
    if (!r) r = mailbox_open_mbentry_iwl(txn, old, &inbox);
    return r ? r : move_messages(inbox, mailbox, target->userid);
}
