/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_delete -- DELETE (handbook 02 §7.4, 04 §3.7)
 *
 * Delayed deletion is a rename into the deleted namespace; immediate deletion leaves a
 * tombstone, so that replicas and the next CREATE know that there was a mailbox. Deleting
 * an INBOX deletes the user with all mailboxes and files, in one transaction.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist_former.h"
#include "mboxlist_ops.h"
#include "mboxlist_specialuse.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"

struct deletion {
    struct txn *txn;
    const char *userid; /* acting */
    const struct auth_state *auth;
    bool isadmin, delayed, silent;
    unsigned flags;
    time_t when; /* of the deleted names */
};

/* ---- checks ---- */

static int check_inbox(const struct deletion *d, const char *name)
{
    if (!mboxname_isusermailbox(name, true) || d->isadmin || (d->flags & MBOXLIST_DELETE_FORCE))
        return 0;
    return d->userid && mboxname_userownsmailbox(d->userid, name) ? IMAP_MAILBOX_NOTSUPPORTED
                                                                  : IMAP_PERMISSION_DENIED;
}

static int check(const struct deletion *d, const mbentry_t *entry)
{
    bool force = d->flags & MBOXLIST_DELETE_FORCE, children;

    if ((d->flags & MBOXLIST_DELETE_CHECKACL) &&
        !(cyrus_acl_myrights(d->auth, entry->acl) & ACL_DELETEMBOX))
        return mboxlist_denied(entry, d->isadmin, d->auth);
    int r = check_inbox(d, entry->name);
    if (r || force) return r;
    if (!mboxname_isusermailbox(entry->name, true)) {
        r = mboxlist_has_children(entry->name, &children);
        if (!r && children) r = IMAP_MAILBOX_HASCHILDREN;
    }
    if (!r && !d->isadmin) r = specialuse_check_protected(entry, d->txn);
    return r;
}

/* ---- one mailbox ---- */

/* The name stays as what a replica and the next CREATE must know. */
static int leave_tombstone(struct txn *txn, const mbentry_t *entry, modseq_t foldermodseq)
{
    bool children;

    int r = mboxlist_has_children(entry->name, &children);
    if (r) return r;
    mbentry_t *left = mbentry_new(entry->name);
    left->mbtype = (entry->mbtype & (MBTYPE_TYPEMASK | MBTYPE_LEGACY_DIRS)) |
                   (children ? MBTYPE_INTERMEDIATE : MBTYPE_DELETED);
    left->uniqueid = xstrdupnull(entry->uniqueid);
    left->uidvalidity = entry->uidvalidity;
    left->createdmodseq = entry->createdmodseq;
    left->foldermodseq = foldermodseq;
    left->reason = xstrdupnull(mboxlist_moved_reason(txn));
    r = mboxlist_update_entry(txn, entry->name, left);
    mbentry_free(&left);
    return r;
}

/* There are no files (any more) below an entry that ought to have some. */
static bool is_gone(int r)
{
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT ||
           r == IMAP_MAILBOX_CHECKSUM || r == IMAP_PARTITION_UNKNOWN || r == IMAP_IOERROR;
}

int mboxlist_delete_one(struct txn *txn, const mbentry_t *entry, bool silent)
{
    struct mailbox *mailbox = NULL;
    modseq_t modseq = entry->foldermodseq;
    int r = 0;

    if (mbentry_is_remote(entry, config_servername) ||
        (entry->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)))
        return mboxlist_delete_entry(txn, entry->name);
    r = mailbox_open_mbentry_iwl(txn, entry, &mailbox);
    if (r && !is_gone(r))
        return r; /* a damaged mailbox can be deleted all the same; its files stay */
    bool opened = !r;
    if (opened && !silent) {
        modseq = mailbox_next_modseq(mailbox);
        if (!modseq) return IMAP_IOERROR;
    }
    if (opened) r = mailbox_delete(mailbox);
    if (opened && r) return r;
    r = mboxname_isdeletedmailbox(entry->name, NULL) ? mboxlist_purge_entry(txn, entry->name)
                                                     : leave_tombstone(txn, entry, modseq);
    if (!r) sync_log_unmailbox(txn, entry->name);
    return r;
}

/* Deleted in the same second before: the next free one. */
static int deleted_name(const struct deletion *d, const char *name, char **newnamep)
{
    int r = 0;

    for (time_t when = d->when; !r; when++) {
        *newnamep = mboxname_todeleted(name, when);
        r = mboxlist_lookup_allow_all(*newnamep, NULL, d->txn);
        if (r == IMAP_MAILBOX_NONEXISTENT) return 0;
        xzfree(*newnamep);
    }
    return r;
}

static int delete_delayed(const struct deletion *d, const mbentry_t *entry)
{
    char *newname = NULL;

    int r = deleted_name(d, entry->name, &newname);
    if (r) return r;
    struct rename_one args = { .old = entry, .newname = newname };
    r = mboxlist_rename_one(d->txn, &args);
    free(newname);
    return r;
}

static int delete_entry(const struct deletion *d, const mbentry_t *entry)
{
    bool has_files = !(entry->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)) &&
                     !mbentry_is_remote(entry, config_servername);
    bool delayed = d->delayed && has_files && !mboxname_isdeletedmailbox(entry->name, NULL);

    int r = delayed ? delete_delayed(d, entry) : mboxlist_delete_one(d->txn, entry, d->silent);
    if (!r && d->userid && config_getswitch(IMAPOPT_DELETE_UNSUBSCRIBE))
        r = sub_change(d->txn, d->userid, entry->name, false);
    return r;
}

/* ---- a user ---- */

static int delete_user(const struct deletion *d, const char *inbox)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    struct user_meta *meta = NULL;
    char *userid = mboxname_to_userid(inbox);

    /* where his files are, while the INBOX still says so */
    int r = user_meta_lookup(userid, d->txn, &meta);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    user_meta_free(&meta);
    if (!r) r = user_keep_for_undelete(d->txn, userid);
    if (!r) r = mboxlist_collect_tree(inbox, MBOXTREE_INTERMEDIATES, &entries);
    /* children first, so that none is left below a tombstone */
    for (int i = ptrarray_size(&entries) - 1; !r && i >= 0; i--)
        r = delete_entry(d, ptrarray_nth(&entries, i));
    if (!r) r = user_deletedata(d->txn, userid, true);
    mboxlist_collect_free(&entries);
    free(userid);
    return r;
}

/* ---- DELETE ---- */

int mboxlist_deletemailbox(struct txn *txn, const char *name, bool isadmin, const char *userid,
                           const struct auth_state *auth, unsigned flags)
{
    struct deletion d = { .txn = txn,
                          .userid = userid,
                          .auth = auth,
                          .isadmin = isadmin,
                          .silent = flags & MBOXLIST_DELETE_SILENT,
                          .flags = flags,
                          .when = txn_time(txn) };
    mbentry_t *entry = NULL;

    d.delayed = config_getenum(IMAPOPT_DELETE_MODE) == IMAP_ENUM_DELETE_MODE_DELAYED &&
                !(flags &
                  (MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_LOCALONLY | MBOXLIST_DELETE_SILENT));
    int r = mboxlist_lock_names(txn, name, NULL);
    if (!r) r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r && (entry->mbtype & MBTYPE_DELETED)) r = IMAP_MAILBOX_NONEXISTENT;
    if (!r && (entry->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)) &&
        !(flags & MBOXLIST_DELETE_FORCE))
        r = entry->mbtype & MBTYPE_RESERVE ? IMAP_MAILBOX_RESERVED : IMAP_MAILBOX_NONEXISTENT;
    if (!r) r = check(&d, entry);
    if (!r)
        r = mboxname_isusermailbox(name, true) && !d.silent ? delete_user(&d, name)
                                                            : delete_entry(&d, entry);
    mbentry_free(&entry);
    return r;
}
