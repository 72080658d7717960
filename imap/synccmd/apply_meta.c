/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_meta -- SUB, UNSUB, SEEN, QUOTA, UNQUOTA: small things of a user (handbook 03 §6.7)
 *
 * All of them set a state and are the same when they are said twice.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "quota.h"
#include "seqset.h"
#include "sync_name.h"
#include "sync_quota.h"
#include "user.h"
#include "xmalloc.h"

#include <string.h>

static int change_sub(const struct dlist *dl, bool subscribe)
{
    const char *userid, *name;
    struct txn *txn = NULL;

    if (!sync_getuserid(dl, "USERID", &userid) || !sync_getname(dl, "MBOXNAME", &name))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_user(userid, &txn);
    if (r) return r;
    r = sub_change(txn, userid, name, subscribe);
    return synccmd_end(&txn, r);
}

int synccmd_apply_sub(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    return change_sub(dl, true);
}

int synccmd_apply_unsub(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    return change_sub(dl, false);
}

int synccmd_apply_seen(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *uniqueid, *uids;
    struct seendata sd = SEENDATA_INITIALIZER;
    struct txn *txn = NULL;

    if (!sync_getuserid(dl, "USERID", &userid) ||
        !dlist_getatom(dl, "UNIQUEID", &uniqueid) || !dlist_getdate(dl, "LASTREAD", &sd.lastread) ||
        !dlist_getnum32(dl, "LASTUID", &sd.lastuid) ||
        !dlist_getdate(dl, "LASTCHANGE", &sd.lastchange) || !dlist_getatom(dl, "SEENUIDS", &uids))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (*uids && !seqset_isvalid(uids, strlen(uids))) return IMAP_PROTOCOL_BAD_PARAMETERS;
    sd.seenuids = xstrdup(uids);
    int r = synccmd_begin_user(userid, &txn);
    if (!r) r = synccmd_end(&txn, seen_write(txn, userid, uniqueid, &sd));
    seen_freedata(&sd);
    return r;
}

int synccmd_apply_quota(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct quota q;
    struct txn *txn = NULL;
    int r = sync_quota_parse(dl, &q);

    if (r) return r;
    r = synccmd_begin_mailbox(q.root, &txn);
    if (!r) r = synccmd_end(&txn, mboxlist_setquotas(txn, q.root, q.limits, q.modseq, true));
    quota_free(&q);
    return r;
}

int synccmd_apply_unquota(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *root;
    struct txn *txn = NULL;

    if (!sync_toroot(dl, &root)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_mailbox(root, &txn);
    if (r) return r;
    r = mboxlist_unsetquota(txn, root);
    if (r == IMAP_QUOTAROOT_NONEXISTENT) r = 0;
    return synccmd_end(&txn, r);
}
