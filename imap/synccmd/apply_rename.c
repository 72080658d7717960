/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_rename -- APPLY RENAME: one mailbox gets another name or partition (handbook 03 §6.5)
 *
 * Silent, without quota checks; children come by commands of their own.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "quota.h"
#include "sync_name.h"

static int begin_both(const char *oldname, const char *newname, struct txn **txnp)
{
    strarray_t users = STRARRAY_INITIALIZER;

    strarray_appendm(&users, mboxname_to_userid(oldname));
    strarray_appendm(&users, mboxname_to_userid(newname));
    int r = txn_begin(txnp);
    if (!r) r = txn_lock_users(*txnp, &users);
    if (r) txn_abort(txnp);
    strarray_fini(&users);
    return r;
}

static bool is_user_rename(const char *oldname, const char *newname)
{
    return mboxname_isusermailbox(oldname, true) && mboxname_isusermailbox(newname, true) &&
           strcmp(oldname, newname) != 0;
}

int synccmd_apply_rename(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *oldname, *newname, *partition;
    unsigned how = MBOXLIST_RENAME_SILENT | MBOXLIST_RENAME_NOCHECK | MBOXLIST_RENAME_FORCEUSER;
    uint32_t uidvalidity = 0;
    struct txn *txn = NULL;
    mbentry_t *old = NULL;

    if (!sync_getname(dl, "OLDMBOXNAME", &oldname) ||
        !sync_getname(dl, "NEWMBOXNAME", &newname) || !dlist_getatom(dl, "PARTITION", &partition))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    (void)dlist_getnum32(dl, "UIDVALIDITY", &uidvalidity);

    int r = begin_both(oldname, newname, &txn);
    if (r) return r;
    quota_set_silent(txn);
    r = mboxlist_lookup(oldname, &old, txn);
    if (!r && is_user_rename(oldname, newname) && !config_getswitch(IMAPOPT_ALLOWUSERMOVES))
        r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r)
        r = mboxlist_renamemailbox(txn, old, newname, partition, uidvalidity, true, NULL, NULL,
                                   how);
    mbentry_free(&old);
    return synccmd_end(&txn, r);
}
