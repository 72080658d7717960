/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_unmailbox -- APPLY UNMAILBOX and UNUSER: remove for good (handbook 03 §6.6)
 *
 * APPLY UNMAILBOXES (X-UNMAILBOXES, doc/sync-extensions.md) says which mailboxes are meant by their UNIQUEIDs: a name may have gone
 * to another one since the client was told of it.
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "quota.h"
#include "sync_name.h"
#include "user_ops.h"

static int remove_entry(struct txn *txn, const mbentry_t *entry, unsigned flags)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;

    if (flags & SYNCCMD_LOCAL) how |= MBOXLIST_DELETE_LOCALONLY;
    if (entry->mbtype & MBTYPE_DELETED) return 0;
    if (entry->mbtype & MBTYPE_INTERMEDIATE) return mboxlist_delete_entry(txn, entry->name);
    return mboxlist_deletemailbox(txn, entry->name, true, NULL, NULL, how);
}

int synccmd_apply_unmailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct txn *txn = NULL;
    mbentry_t *entry = NULL;
    const char *name;

    if (!sync_toname(dl, &name)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_mailbox(name, &txn);
    if (r) return r;
    quota_set_silent(txn);
    r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r) r = remove_entry(txn, entry, flags);
    mbentry_free(&entry);
    return synccmd_end(&txn, r);
}

/* ---- by UNIQUEID ---- */

static bool parse_item(const struct dlist *item, const char **name, const char **uniqueid)
{
    return sync_getname(item, "MBOXNAME", name) && dlist_getatom(item, "UNIQUEID", uniqueid);
}

static int begin(const struct dlist *dl, struct txn **txnp)
{
    strarray_t users = STRARRAY_INITIALIZER;
    const char *name, *uniqueid;
    int r = dl->head ? 0 : IMAP_PROTOCOL_BAD_PARAMETERS;

    for (const struct dlist *item = dl->head; item && !r; item = item->next) {
        if (parse_item(item, &name, &uniqueid))
            strarray_appendm(&users, mboxname_to_userid(name));
        else
            r = IMAP_PROTOCOL_BAD_PARAMETERS;
    }
    if (!r) r = txn_begin(txnp);
    if (!r) r = txn_lock_users(*txnp, &users);
    if (r) txn_abort(txnp);
    strarray_fini(&users);
    return r;
}

static bool is_meant(const mbentry_t *entry, const char *name, const char *uniqueid)
{
    if (entry->uniqueid && strcmp(entry->uniqueid, uniqueid) != 0) return false;
    return mboxname_same_userid(entry->name, name) &&
           mboxname_isdeletedmailbox(entry->name, NULL) == mboxname_isdeletedmailbox(name, NULL);
}

/* Under whatever name, if its owner is the same. What has gone to the tree of deleted mailboxes here is left to cyr_expire. */
static int find(struct txn *txn, const char *name, const char *uniqueid, mbentry_t **entryp)
{
    int r = mboxlist_lookup_by_uniqueid(uniqueid, entryp, false, txn);

    /* what is only between others, and what old stores have, has no record of its id */
    if (r == IMAP_MAILBOX_NONEXISTENT) r = mboxlist_lookup_allow_all(name, entryp, txn);
    return r || is_meant(*entryp, name, uniqueid) ? r : IMAP_MAILBOX_NONEXISTENT;
}

int synccmd_apply_unmailboxes(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct txn *txn = NULL;
    int r = begin(dl, &txn);

    if (r) return r;
    quota_set_silent(txn);
    for (const struct dlist *item = dl->head; item && !r; item = item->next) {
        mbentry_t *entry = NULL;
        const char *name, *uniqueid;
        (void)parse_item(item, &name, &uniqueid);
        r = find(txn, name, uniqueid, &entry);
        r = r == IMAP_MAILBOX_NONEXISTENT ? 0 : r ? r : remove_entry(txn, entry, flags);
        mbentry_free(&entry);
    }
    return synccmd_end(&txn, r);
}

/* ---- users ---- */

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
