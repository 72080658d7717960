/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_unmailbox -- APPLY UNMAILBOX and UNUSER: remove for good (handbook 03 §6.6)
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "quota.h"
#include "sync_name.h"
#include "user_ops.h"

int synccmd_apply_unmailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;
    struct txn *txn = NULL;
    mbentry_t *entry = NULL;
    const char *name;

    if (!sync_toname(dl, &name)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (flags & SYNCCMD_LOCAL) how |= MBOXLIST_DELETE_LOCALONLY;
    int r = synccmd_begin_mailbox(name, &txn);
    if (r) return r;
    quota_set_silent(txn);
    r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r && (entry->mbtype & MBTYPE_INTERMEDIATE))
        r = mboxlist_delete_entry(txn, name);
    else if (!r && !(entry->mbtype & MBTYPE_DELETED))
        r = mboxlist_deletemailbox(txn, name, true, NULL, NULL, how);
    mbentry_free(&entry);
    return synccmd_end(&txn, r);
}

/* What is removed here is a copy that was kept still (LEAVE): the record that stays behind must not keep still one that comes later. */
static int release(struct txn *txn, const char *userid)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, txn, &rec);

    if (!r && rec->state == USER_MOVING_OUT) r = user_stay(txn, userid, rec->reason ? USER_DISABLED : USER_ACTIVE);
    user_record_free(&rec);
    return r == IMAP_NOTFOUND ? 0 : r;
}

int synccmd_apply_unuser(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;
    struct txn *txn = NULL;
    const char *userid;

    if (!sync_touserid(dl, &userid)) return 0; /* as 3.6.1: nobody is deleted */
    if (flags & SYNCCMD_LOCAL) how |= MBOXLIST_DELETE_LOCALONLY;
    int r = synccmd_begin_user(userid, &txn);
    if (r) return r;
    quota_set_silent(txn);
    if (flags & SYNCCMD_LOCAL) r = release(txn, userid);
    /* the deleted mailboxes stay for cyr_expire */
    if (!r) r = user_remove(txn, userid, false, how);
    return synccmd_end(&txn, r);
}
