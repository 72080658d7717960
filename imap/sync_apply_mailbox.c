/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_apply_mailbox -- APPLY MAILBOX: make a mailbox of the replica what the master says
 *
 * The steps of handbook 03 §6.3 in one transaction: find or create, compare what the
 * master believed with what is, take over rights, annotations, records and header, and
 * compare the checksums at last. A refusal at any step aborts the transaction, so the
 * replica never claims to have seen what it has not (unlike 3.6.1, which keeps a half).
 *
 * Only the replacement of a mailbox with another UNIQUEID takes two transactions: the old
 * one is empty, or the operator has forced it.
 */
#include <config.h>

#include "sync_apply.h"

#include <stdlib.h>
#include <string.h>

#include "conversations.h"
#include "dlist.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "quota.h"
#include "sync_crc.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct apply {
    struct sync_folder folder;
    struct sync_records records;
    const struct sync_reserve *reserve;
    unsigned flags;
    struct txn *txn;
    struct mailbox *mailbox; /* belongs to txn */
    bool created;
};

static bool apply_force(const struct apply *a)
{
    return a->flags & SYNC_APPLY_FORCE;
}

static int apply_begin(struct apply *a)
{
    char *userid = mboxname_to_userid(a->folder.name);
    int r = txn_begin(&a->txn);

    if (!r) r = txn_lock_user(a->txn, userid);
    if (!r) quota_set_silent(a->txn);
    free(userid);
    return r;
}

/* ---- intermediates and tombstones ---- */

static int apply_entry(struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    mbentry_t *old = NULL;
    int r = apply_begin(a);

    if (!r) r = mboxlist_lookup_allow_all(f->name, &old, a->txn);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    /* a real mailbox of that name would lose its entry */
    if (!r && old && !(old->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_DELETED)))
        r = IMAP_MAILBOX_EXISTS;
    if (!r) {
        mbentry_t *entry = mbentry_new(f->name);
        entry->uniqueid = xstrdup(f->uniqueid);
        entry->mbtype = f->mbtype;
        entry->uidvalidity = f->uidvalidity;
        entry->createdmodseq = f->createdmodseq;
        entry->foldermodseq = f->highestmodseq;
        r = mboxlist_update_entry(a->txn, f->name, entry);
        mbentry_free(&entry);
    }
    mbentry_free(&old);
    return r;
}

/* ---- finding and making the mailbox ---- */

/* Is the UNIQUEID that of a live mailbox with another name? */
static int check_uniqueid_free(struct apply *a)
{
    mbentry_t *other = NULL;
    int r = mboxlist_lookup_by_uniqueid(a->folder.uniqueid, &other, false, a->txn);

    if (r == IMAP_MAILBOX_NONEXISTENT) return 0;
    if (!r && strcmp(other->name, a->folder.name) != 0 &&
        !(other->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE))) {
        syslog(LOG_ERR,
               "SYNCNOTICE: mailbox uniqueid already in use: mailbox=<%s> uniqueid=<%s> other=<%s>",
               a->folder.name, a->folder.uniqueid, other->name);
        r = IMAP_MAILBOX_MOVED;
    }
    mbentry_free(&other);
    return r;
}

/* The user's metadata live with his INBOX, so that comes first. */
static int check_inbox_exists(struct apply *a)
{
    const char *name = a->folder.name;

    if (!mboxname_isusermailbox(name, false) || mboxname_isusermailbox(name, true) ||
        mboxname_isdeletedmailbox(name, NULL))
        return 0;
    char *userid = mboxname_to_userid(name);
    char *inbox = mboxname_user_mbox(userid, NULL);
    mbentry_t *entry = NULL;
    int r = mboxlist_lookup(inbox, &entry, a->txn);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        syslog(LOG_ERR, "SYNCERROR: no INBOX yet for mailbox <%s>", name);
        r = IMAP_PERMISSION_DENIED;
    }
    mbentry_free(&entry);
    free(inbox);
    free(userid);
    return r;
}

/*
 * The files of a user lie where the UNIQUEID of his INBOX says. When another INBOX comes into the place of one that is
 * gone for good, they go with it, in a transaction of their own: what a run that ended before left is found by the next one.
 */
static int take_user_files(struct apply *a)
{
    struct user_meta *from = NULL, *to = NULL;
    mbentry_t *old = NULL, *inbox = mbentry_new(a->folder.name);
    int r = mboxlist_lookup_allow_all(a->folder.name, &old, a->txn);

    inbox->uniqueid = xstrdup(a->folder.uniqueid);
    bool gone = !r && (old->mbtype & MBTYPE_DELETED) && old->uniqueid && strcmp(old->uniqueid, a->folder.uniqueid) &&
                mboxlist_lookup_by_uniqueid(old->uniqueid, NULL, false, a->txn) == IMAP_MAILBOX_NONEXISTENT;
    if (gone) {
        r = user_meta_from_entry(old, &from);
        if (!r) r = user_meta_from_entry(inbox, &to);
        if (!r) r = user_meta_move(a->txn, from, to, USER_FILE_REPLACE, false);
        if (!r) r = txn_commit(&a->txn, NULL);
        if (!r) r = apply_begin(a);
    }
    user_meta_free(&from);
    user_meta_free(&to);
    mbentry_free(&old);
    mbentry_free(&inbox);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static int apply_create(struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    struct mboxlist_createargs args = {
        .name = f->name,
        .mbtype = f->mbtype,
        .partition = f->partition,
        .acl = f->acl,
        .uniqueid = f->uniqueid,
        .uidvalidity = f->uidvalidity,
        .options = f->options,
        .highestmodseq = f->highestmodseq,
        .createdmodseq = f->createdmodseq,
        .foldermodseq = f->foldermodseq ? f->foldermodseq : f->highestmodseq,
        .isadmin = true,
        .from_sync = true,
        .no_parents = true,
        .localonly = a->flags & SYNC_APPLY_LOCALONLY,
        .nocheck_quota = true,
    };
    int r = check_uniqueid_free(a);

    if (!r) r = check_inbox_exists(a);
    if (!r && mboxname_isusermailbox(f->name, true)) r = take_user_files(a);
    if (!r) r = mboxlist_createmailbox(a->txn, &args, &a->mailbox);
    a->created = !r;
    return r;
}

/* Removes the mailbox that stands in the place of the master's, in a transaction of its own. */
static int apply_remove_old(struct apply *a)
{
    unsigned flags = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;

    syslog(LOG_NOTICE,
           "SYNCNOTICE: mailbox uniqueid changed - replacing: mailbox=<%s> old=<%s> new=<%s>",
           a->folder.name, mailbox_uniqueid(a->mailbox), a->folder.uniqueid);
    if (a->flags & SYNC_APPLY_LOCALONLY) flags |= MBOXLIST_DELETE_LOCALONLY;
    a->mailbox = NULL;
    int r = mboxlist_deletemailbox(a->txn, a->folder.name, true, NULL, NULL, flags);
    if (!r) r = txn_commit(&a->txn, NULL);
    if (!r) r = apply_begin(a);
    return r ? r : apply_create(a);
}

static int apply_open(struct apply *a)
{
    const char *name = a->folder.name;
    int r = mailbox_open_iwl(a->txn, name, &a->mailbox);

    if (r == IMAP_MAILBOX_NONEXISTENT) return apply_create(a);
    if (!r) r = sync_folder_check_supported(a->mailbox);
    if (r) return r;
    const char *uniqueid = mailbox_uniqueid(a->mailbox);
    if (uniqueid && !strcmp(uniqueid, a->folder.uniqueid)) return 0;
    bool named = uniqueid && a->folder.replaces && !strcmp(uniqueid, a->folder.replaces);
    if (named || !mailbox_index_header(a->mailbox)->last_uid || apply_force(a)) return apply_remove_old(a);
    syslog(LOG_ERR, "SYNCERROR: mailbox uniqueid changed - retry: mailbox=<%s> old=<%s> new=<%s>",
           name, uniqueid ? uniqueid : "", a->folder.uniqueid);
    return IMAP_MAILBOX_MOVED;
}

/* ---- what the master believed, and what may not fall ---- */

static int check_since(const struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    const struct index_header *hdr = mailbox_index_header(a->mailbox);

    if (!f->since_modseq || a->created) return 0;
    if (f->since_modseq == hdr->highestmodseq &&
        sync_crc_equal(f->since_crc, mailbox_sync_crc_basic(a->mailbox)) &&
        sync_crc_equal(f->since_crc_annot, mailbox_sync_crc_annot(a->mailbox)))
        return 0;
    syslog(LOG_NOTICE, "SYNCNOTICE: mailbox sync mismatch: mailbox=<%s> modseq=<%llu> since=<%llu>",
           f->name, (unsigned long long)hdr->highestmodseq, (unsigned long long)f->since_modseq);
    return IMAP_SYNC_CHANGED;
}

static bool is_lower(const struct apply *a, const char *what, uint64_t theirs, uint64_t ours)
{
    if (theirs >= ours) return false;
    syslog(LOG_NOTICE,
           "SYNCNOTICE: higher %s on replica: mailbox=<%s> master=<%llu> replica=<%llu>", what,
           a->folder.name, (unsigned long long)theirs, (unsigned long long)ours);
    return !apply_force(a);
}

static int check_numbers(const struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    struct sync_folder ours;

    if (a->created) return 0;
    int r = sync_folder_read(a->mailbox, &ours);
    if (r) return r;
    if (f->mbtype != ours.mbtype)
        r = IMAP_MAILBOX_BADTYPE;
    else if (is_lower(a, "modseq", f->highestmodseq, ours.highestmodseq) ||
             is_lower(a, "uidvalidity", f->uidvalidity, ours.uidvalidity) ||
             is_lower(a, "last_uid", f->last_uid, ours.last_uid) ||
             (f->xconvmodseq && is_lower(a, "xconvmodseq", f->xconvmodseq, ours.xconvmodseq)))
        r = IMAP_SYNC_CHECKSUM;
    sync_folder_fini(&ours);
    return r;
}

/* ---- taking over ---- */

static int apply_acl(struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    const mbentry_t *entry = mailbox_mbentry(a->mailbox);
    modseq_t modseq = f->foldermodseq ? f->foldermodseq : f->highestmodseq;
    bool same = !strcmp(mailbox_acl(a->mailbox), f->acl) && entry->acl &&
                !strcmp(entry->acl, f->acl);

    if (a->created || (same && entry->foldermodseq >= modseq)) return 0;
    if (entry->foldermodseq > modseq) modseq = entry->foldermodseq;
    int r = mboxlist_sync_setacls(a->txn, f->name, f->acl, modseq);
    if (!r && !same) r = mailbox_set_acl(a->mailbox, f->acl);
    return r;
}

static int apply_header(struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    struct mailbox_header_update u = {
        .set_recent = true,
        .set_append = true,
        .set_pop3 = true,
        .set_pop3_after = true,
        .set_uidvalidity = f->uidvalidity != 0,
        .set_options = true,
        .set_modseqs = true,
        .set_lastuid = true,
        .may_lower = apply_force(a),
        .recentuid = f->recentuid,
        .recenttime = f->recenttime,
        .last_appenddate = f->last_appenddate,
        .pop3_last_login = f->pop3_last_login,
        .pop3_show_after = f->pop3_show_after,
        .uidvalidity = f->uidvalidity,
        .options = f->options,
        .last_uid = f->last_uid,
        .highestmodseq = f->highestmodseq,
        .createdmodseq = f->createdmodseq,
    };
    return mailbox_update_header(a->mailbox, &u);
}

/* The user's counters never stay behind what his mailboxes say. */
static int apply_counters(struct apply *a)
{
    const struct sync_folder *f = &a->folder;
    struct user_meta *meta = NULL;
    int r = user_meta_for_mailbox(mailbox_mbentry(a->mailbox), a->txn, &meta);

    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
    counters_set_modseq(a->txn, meta, f->highestmodseq, f->name, f->mbtype, 0, &r);
    if (!r) r = counters_set_uidvalidity(a->txn, meta, f->uidvalidity);
    if (!r && f->raclmodseq && config_getswitch(IMAPOPT_REVERSEACLS))
        counters_set_modseq(a->txn, meta, f->raclmodseq, f->name, f->mbtype, COUNTER_RACL, &r);
    user_meta_free(&meta);
    return r;
}

static int apply_xconvmodseq(struct apply *a)
{
    struct conversations_state *state = NULL;

    if (!a->folder.xconvmodseq || !config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    if (mboxname_isdeletedmailbox(a->folder.name, NULL)) return 0;
    int r = conversations_open_mbox(a->mailbox, &state);
    if (r || !state) return r;
    /* one that had the name before may have left a higher number */
    return conversation_setstatus_modseq(state, a->mailbox, a->folder.xconvmodseq,
                                         apply_force(a) || a->created);
}

int sync_apply_renamed(struct txn *txn, const struct sync_renamed *renamed)
{
    struct apply a = { .txn = txn, .folder = { .highestmodseq = renamed->highestmodseq, .foldermodseq = renamed->foldermodseq,
                                               .xconvmodseq = renamed->xconvmodseq } };
    struct mailbox_header_update u = { .set_modseqs = true, .highestmodseq = renamed->highestmodseq };

    int r = mailbox_open_iwl(txn, renamed->name, &a.mailbox);
    if (r) return r;
    const struct index_header *hdr = mailbox_index_header(a.mailbox);
    if (hdr->highestmodseq > renamed->highestmodseq) return 0;
    a.folder.name = xstrdup(renamed->name);
    a.folder.acl = xstrdup(renamed->acl);
    a.folder.mbtype = mailbox_mbentry(a.mailbox)->mbtype;
    a.folder.uidvalidity = hdr->uidvalidity;
    r = apply_acl(&a);
    if (!r) r = mailbox_update_header(a.mailbox, &u);
    if (!r) r = apply_counters(&a);
    if (!r) r = apply_xconvmodseq(&a);
    sync_folder_fini(&a.folder);
    return r;
}

static bool crcs_fit(const struct apply *a)
{
    return sync_crc_equal(a->folder.crc_basic, mailbox_sync_crc_basic(a->mailbox)) &&
           (!a->folder.has_crc_annot ||
            sync_crc_equal(a->folder.crc_annot, mailbox_sync_crc_annot(a->mailbox)));
}

static int apply_check_crcs(struct apply *a)
{
    if (crcs_fit(a)) return 0;
    int r = mailbox_recalc_counters(a->mailbox);
    if (r || crcs_fit(a)) return r;
    syslog(
        LOG_ERR,
        "SYNCERROR: checksum failure: mailbox=<%s> master=<%u/%u> replica=<%u/%u>: nothing applied",
        a->folder.name, a->folder.crc_basic, a->folder.crc_annot,
        mailbox_sync_crc_basic(a->mailbox), mailbox_sync_crc_annot(a->mailbox));
    return IMAP_SYNC_CHECKSUM;
}

/* The mailbox is open. */
static int apply_steps(struct apply *a)
{
    bool appended = false;
    int r = check_since(a);

    if (!r) r = check_numbers(a);
    if (!r) r = apply_acl(a);
    if (!r) r = sync_annots_store_mailbox(a->txn, mailbox_mbentry(a->mailbox), &a->folder.annots);
    if (!r)
        r = sync_apply_records(a->mailbox, &a->folder, &a->records, a->reserve, a->flags,
                               &appended);
    if (!r) r = apply_header(a);
    if (!r) r = apply_counters(a);
    if (!r) r = apply_xconvmodseq(a);
    if (!r) r = apply_check_crcs(a);
    return r;
}

static int apply_all(struct apply *a)
{
    int r = apply_begin(a);

    if (!r) r = apply_open(a);
    return r ? r : apply_steps(a);
}

int sync_apply_mailbox(const struct dlist *kl, const struct sync_reserve *reserve, unsigned flags)
{
    struct apply a = { .reserve = reserve, .flags = flags };
    int r = sync_folder_parse(kl, true, &a.folder);

    if (r) return r;
    if (!sync_folder_is_plain(&a.folder)) {
        r = apply_entry(&a);
    }
    else {
        r = sync_records_parse(a.folder.records, &a.records);
        if (!r) r = apply_all(&a);
    }
    if (!r) r = txn_commit(&a.txn, NULL);
    txn_abort(&a.txn);
    sync_records_fini(&a.records);
    sync_folder_fini(&a.folder);
    return r;
}

/* ---- several ---- */

/* Nothing is made or replaced: without that mailbox this is not the state that the master knows. */
static int open_known(struct apply *a)
{
    int r = mailbox_open_iwl(a->txn, a->folder.name, &a->mailbox);

    if (r == IMAP_MAILBOX_NONEXISTENT) return IMAP_SYNC_CHANGED;
    if (!r) r = sync_folder_check_supported(a->mailbox);
    return r ? r : strcmpnull(mailbox_uniqueid(a->mailbox), a->folder.uniqueid) ? IMAP_SYNC_CHANGED : 0;
}

static int parse_known(const struct dlist *kl, struct apply *a)
{
    int r = sync_folder_parse(kl, true, &a->folder);

    if (!r && (!sync_folder_is_plain(&a->folder) || !a->folder.since_modseq || a->folder.replaces))
        r = IMAP_PROTOCOL_BAD_PARAMETERS;
    return r ? r : sync_records_parse(a->folder.records, &a->records);
}

static int begin_known(const struct apply *v, size_t n, struct txn **txnp)
{
    strarray_t users = STRARRAY_INITIALIZER;

    for (size_t i = 0; i < n; i++) strarray_appendm(&users, mboxname_to_userid(v[i].folder.name));
    int r = txn_begin(txnp);
    if (!r) r = txn_lock_users(*txnp, &users);
    if (!r) quota_set_silent(*txnp);
    strarray_fini(&users);
    return r;
}

/* *seen: what the mailboxes were read of. */
static int apply_known(struct apply *v, size_t n, struct txn *txn, uint64_t *seen)
{
    int r = 0;

    for (size_t i = 0; i < n && !r; i++) {
        v[i].txn = txn;
        r = open_known(&v[i]);
        if (r) break;
        uint64_t lsn = mailbox_seen_lsn(v[i].mailbox);
        if (lsn > *seen) *seen = lsn;
        r = apply_steps(&v[i]);
    }
    return r;
}

int sync_apply_mailboxes(const ptrarray_t *list, const struct sync_reserve *reserve)
{
    size_t n = (size_t)ptrarray_size(list);
    struct apply *v = xcalloc(n ? n : 1, sizeof(*v));
    struct txn *txn = NULL;
    uint64_t seen = 0;
    int r = n ? 0 : IMAP_PROTOCOL_BAD_PARAMETERS;

    for (size_t i = 0; i < n; i++) {
        v[i].reserve = reserve;
        if (!r) r = parse_known(ptrarray_nth(list, (int)i), &v[i]);
    }
    if (!r) r = begin_known(v, n, &txn);
    if (!r) r = apply_known(v, n, txn, &seen);
    if (!r) r = txn_commit(&txn, NULL);
    if (!r) r = txn_wait(seen); /* where nothing was left to change */
    txn_abort(&txn);
    for (size_t i = 0; i < n; i++) {
        sync_records_fini(&v[i].records);
        sync_folder_fini(&v[i].folder);
    }
    free(v);
    return r;
}
