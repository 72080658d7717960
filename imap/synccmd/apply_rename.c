/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_rename -- APPLY RENAME: one mailbox gets another name or partition (handbook 03 §6.5)
 *
 * Silent, without quota checks; children come by commands of their own. APPLY RENAMES (X-RENAMES,
 * doc/sync-extensions.md) does several in one transaction, one after the other.
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
#include "sync_apply.h"
#include "sync_name.h"
#include "user.h"
#include "xmalloc.h"

struct renaming {
    const char *oldname, *newname, *partition;
    const char *uniqueid; /* NULL: not told */
    uint32_t uidvalidity;
    struct sync_renamed state; /* acl NULL: not told */
};

static bool parse(const struct dlist *dl, struct renaming *rn)
{
    if (!sync_getname(dl, "OLDMBOXNAME", &rn->oldname) ||
        !sync_getname(dl, "NEWMBOXNAME", &rn->newname) ||
        !dlist_getatom(dl, "PARTITION", &rn->partition))
        return false;
    rn->uidvalidity = 0;
    rn->uniqueid = NULL;
    (void)dlist_getnum32(dl, "UIDVALIDITY", &rn->uidvalidity);
    (void)dlist_getatom(dl, "UNIQUEID", &rn->uniqueid);
    return true;
}

/* What the mailbox is to have afterwards: all of it is told, or nothing. */
static bool parse_state(const struct dlist *dl, struct renaming *rn)
{
    struct sync_renamed *s = &rn->state;

    if (!dlist_getnum64(dl, "HIGHESTMODSEQ", &s->highestmodseq)) return true;
    s->name = rn->newname;
    (void)dlist_getnum64(dl, "XCONVMODSEQ", &s->xconvmodseq);
    return dlist_getnum64(dl, "FOLDERMODSEQ", &s->foldermodseq) && dlist_getatom(dl, "ACL", &s->acl);
}

static int begin(const struct renaming *v, size_t n, struct txn **txnp)
{
    strarray_t users = STRARRAY_INITIALIZER;

    for (size_t i = 0; i < n; i++) {
        strarray_appendm(&users, mboxname_to_userid(v[i].oldname));
        strarray_appendm(&users, mboxname_to_userid(v[i].newname));
    }
    int r = txn_begin(txnp);
    if (!r) r = txn_lock_users(*txnp, &users);
    if (r) txn_abort(txnp);
    strarray_fini(&users);
    return r;
}

/* A master renames a user mailbox by mailbox, the INBOX first. */
static int follow_inbox(struct txn *txn, const struct renaming *rn)
{
    char *olduser = mboxname_to_userid(rn->oldname), *newuser = mboxname_to_userid(rn->newname);
    bool both = olduser && newuser && strcmp(olduser, newuser);
    int r = both ? user_meta_follow(txn, olduser, newuser) : 0;

    free(olduser);
    free(newuser);
    return r;
}

static bool is_user_rename(const struct renaming *rn)
{
    return mboxname_isusermailbox(rn->oldname, true) && mboxname_isusermailbox(rn->newname, true) &&
           strcmp(rn->oldname, rn->newname) != 0;
}

static int rename_one(struct txn *txn, const struct renaming *rn)
{
    unsigned how = MBOXLIST_RENAME_SILENT | MBOXLIST_RENAME_NOCHECK | MBOXLIST_RENAME_FORCEUSER;
    mbentry_t *old = NULL;
    int r = follow_inbox(txn, rn);

    if (!r) r = mboxlist_lookup(rn->oldname, &old, txn);
    if (!r && rn->uniqueid && old->uniqueid && strcmp(old->uniqueid, rn->uniqueid) != 0) r = IMAP_SYNC_CHANGED;
    if (!r && is_user_rename(rn) && !config_getswitch(IMAPOPT_ALLOWUSERMOVES))
        r = IMAP_MAILBOX_NOTSUPPORTED;
    if (!r)
        r = mboxlist_renamemailbox(txn, old, rn->newname, rn->partition, rn->uidvalidity, true,
                                   NULL, NULL, how);
    if (!r && rn->state.acl) r = sync_apply_renamed(txn, &rn->state);
    mbentry_free(&old);
    return r;
}

static int rename_all(const struct renaming *v, size_t n)
{
    struct txn *txn = NULL;
    int r = begin(v, n, &txn);

    if (r) return r;
    quota_set_silent(txn);
    for (size_t i = 0; i < n && !r; i++) r = rename_one(txn, &v[i]);
    return synccmd_end(&txn, r);
}

int synccmd_apply_rename(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct renaming rn = { 0 };

    return parse(dl, &rn) ? rename_all(&rn, 1) : IMAP_PROTOCOL_BAD_PARAMETERS;
}

int synccmd_apply_renames(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    size_t n = 0, max = 0;

    for (const struct dlist *item = dl->head; item; item = item->next) max++;
    if (!max) return IMAP_PROTOCOL_BAD_PARAMETERS;
    struct renaming *v = xcalloc(max, sizeof(*v));
    bool ok = true;
    for (const struct dlist *item = dl->head; item && ok; item = item->next)
        ok = parse(item, &v[n]) && parse_state(item, &v[n]), n++;
    int r = ok ? rename_all(v, n) : IMAP_PROTOCOL_BAD_PARAMETERS;
    free(v);
    return r;
}
