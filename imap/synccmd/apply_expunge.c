/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_expunge -- APPLY EXPUNGE: these UIDs are gone, silently (handbook 03 §6.4)
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "quota.h"
#include "sync_name.h"

static int expunge_uids(struct mailbox *mailbox, const struct dlist *uids)
{
    int r = 0;

    for (const struct dlist *item = uids->head; item && !r; item = item->next) {
        struct index_record rec;
        uint32_t uid;
        if (!dlist_tonum32(item, &uid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
        r = mailbox_find_uid(mailbox, uid, &rec);
        if (!r) r = mailbox_expunge_record(mailbox, &rec, MAILBOX_SILENT);
        if (r == IMAP_NOTFOUND) r = 0;
    }
    return r;
}

int synccmd_apply_expunge(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *name, *uniqueid;
    struct dlist *uids;
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;

    if (!sync_getname(dl, "MBOXNAME", &name) || !dlist_getatom(dl, "UNIQUEID", &uniqueid) ||
        !dlist_getlist(dl, "UID", &uids))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_mailbox(name, &txn);
    if (r) return r;
    quota_set_silent(txn);
    r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r && (!mailbox_uniqueid(mailbox) || strcmp(mailbox_uniqueid(mailbox), uniqueid) != 0))
        r = IMAP_MAILBOX_MOVED;
    if (!r) r = expunge_uids(mailbox, uids);
    return synccmd_end(&txn, r);
}
