/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_rename -- RENAME of mailboxes, trees, users, and to other partitions
 *
 * Handbook 02 §7.5, 04 §3.8. A name that is left keeps a tombstone; the identity (uniqueid) goes
 * to the new name with its history. A tree is renamed parent first, in one transaction: all of it or
 * nothing. Where a user's files are is found out before his INBOX gets its new name, and stays.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist_follow.h"
#include "mboxlist_ops.h"
#include "mboxlist_pending.h"
#include "mboxlist_specialuse.h"
#include "names_config.h"
#include "quota.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"

/* ---- one mailbox ---- */

static int write_entries(struct txn *txn, const mbentry_t *old, const mbentry_t *entry)
{
    int r = 0;

    if (strcmp(old->name, entry->name)) {
        mbentry_t *left = mboxlist_left_entry(old, entry->foldermodseq);
        r = mboxlist_update_entry(txn, old->name, left);
        mbentry_free(&left);
    }
    return r ? r : mboxlist_update_entry(txn, entry->name, entry);
}

/* The quota roots of a tree, asked for once: of thousands of names each look is some files. */
struct tree_roots {
    const char *top;
    char *above;      /* root of the top, itself or one above; NULL: none */
    hash_table below; /* names of roots */
};

static int find_root(struct txn *txn, const struct rename_one *args, const char *name, char **rootp)
{
    const struct tree_roots *roots = args->roots;

    if (!roots || mboxname_isdeletedmailbox(name, NULL)) return quota_findroot(name, txn, rootp);
    char *root = xstrdup(name);
    bool found = false;
    while (hash_numrecords(&roots->below) && strlen(root) > strlen(roots->top) &&
           !(found = hash_lookup(root, &roots->below)) && mboxname_cut(root));
    if (found) {
        *rootp = root;
        return 0;
    }
    free(root);
    *rootp = xstrdupnull(roots->above);
    return 0;
}

static int move_quota(struct txn *txn, struct mailbox *mailbox, const struct rename_one *args)
{
    const char *now = mailbox_quotaroot(mailbox);
    char *root = NULL;

    int r = find_root(txn, args, args->newname, &root);
    if (!r && strcmpnull(root, now)) r = mailbox_set_quotaroot(mailbox, root);
    free(root);
    return r;
}

static mbentry_t *new_entry(const struct rename_one *args, modseq_t modseq)
{
    mbentry_t *entry = mbentry_dup(args->old);

    free(entry->name);
    entry->name = xstrdup(args->newname);
    if (args->partition) {
        free(entry->partition);
        entry->partition = xstrdup(args->partition);
    }
    if (args->uidvalidity) entry->uidvalidity = args->uidvalidity;
    entry->foldermodseq = modseq;
    if (args->olduser && args->newuser) mboxlist_renamed_acl(entry, args->olduser, args->newuser);
    return entry;
}

static int change_mailbox(struct txn *txn, struct mailbox *mailbox, const struct rename_one *args,
                          const mbentry_t *entry)
{
    int r = move_quota(txn, mailbox, args);

    if (!r) r = mailbox_set_name(mailbox, entry, args->silent ? MAILBOX_SILENT : 0);
    if (!r && strcmpnull(entry->acl, args->old->acl)) r = mailbox_set_acl(mailbox, entry->acl);
    if (!r && args->uidvalidity) {
        struct mailbox_header_update u = { .set_uidvalidity = true,
                                           .uidvalidity = args->uidvalidity };
        r = mailbox_update_header(mailbox, &u);
    }
    return r;
}

/* A name without files only changes its entry. */
static int rename_bare(struct txn *txn, const struct rename_one *args)
{
    mbentry_t *entry = new_entry(args, args->old->foldermodseq);

    int r = write_entries(txn, args->old, entry);
    mbentry_free(&entry);
    return r;
}

int mboxlist_rename_one(struct txn *txn, const struct rename_one *args)
{
    const mbentry_t *old = args->old;
    struct mailbox *mailbox = NULL;
    struct user_meta *meta = NULL;
    modseq_t modseq = old->foldermodseq;

    if ((old->mbtype & MBTYPE_INTERMEDIATE) || mbentry_is_remote(old, config_servername))
        return rename_bare(txn, args);
    int r = user_meta_for_mailbox(old, txn, &meta); /* remembered by the transaction */
    user_meta_free(&meta);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0; /* a deleted mailbox of a user who is gone */
    if (!r) r = mailbox_open_mbentry_iwl(txn, old, &mailbox);
    if (r) return r;
    if (!args->silent) modseq = mailbox_next_modseq(mailbox);
    if (!modseq && !args->silent) return IMAP_IOERROR;
    mbentry_t *entry = new_entry(args, modseq);
    r = write_entries(txn, old, entry);
    if (!r) r = change_mailbox(txn, mailbox, args, entry);
    if (!r && strcmp(old->name, entry->name))
        sync_log_rename(txn, old->name, entry->name);
    else if (!r)
        sync_log_mailbox(txn, entry->name);
    mbentry_free(&entry);
    return r;
}

/* ---- checks ---- */

struct renaming {
    struct txn *txn;
    const char *oldname, *newname, *partition;
    bool isadmin;
    const char *userid;
    const struct auth_state *auth;
    unsigned flags;
    bool isuser; /* a user as a whole */
    bool later;  /* his folders follow */
};

static struct mboxlist_createargs target_of(const struct renaming *rn, const mbentry_t *old)
{
    return (struct mboxlist_createargs){ .name = rn->newname,
                                         .mbtype = old->mbtype & MBTYPE_TYPEMASK,
                                         .partition = rn->partition,
                                         .isadmin = rn->isadmin || rn->isuser,
                                         .nocheck_quota = true,
                                         .userid = rn->userid,
                                         .auth = rn->auth };
}

static int check_move(const struct renaming *rn, const mbentry_t *old)
{
    if (!rn->isadmin) return IMAP_PERMISSION_DENIED;
    if (!rn->partition) return IMAP_MAILBOX_EXISTS;
    if (!partition_root(rn->partition)) return IMAP_PARTITION_UNKNOWN;
    return strcmpnull(old->partition, rn->partition) ? 0 : IMAP_MAILBOX_EXISTS;
}

/* An INBOX can become the INBOX of another user, or give its messages away. */
static int check_inbox(struct renaming *rn, bool *moves_messages)
{
    bool from = mboxname_isusermailbox(rn->oldname, true),
         to = mboxname_isusermailbox(rn->newname, true);

    *moves_messages = false;
    if (from && to) {
        if (!(rn->flags & MBOXLIST_RENAME_FORCEUSER) &&
            (!rn->isadmin || !config_getswitch(IMAPOPT_ALLOWUSERMOVES)))
            return IMAP_MAILBOX_NOTSUPPORTED;
        rn->isuser = true;
        return 0;
    }
    if (from && !mboxname_isdeletedmailbox(rn->newname, NULL)) {
        if (!mboxname_same_userid(rn->oldname, rn->newname)) return IMAP_MAILBOX_NOTSUPPORTED;
        *moves_messages = true;
    }
    return 0;
}

/* A mailbox with a special use can't leave the place where such mailboxes are. */
static int check_specialuse(const struct renaming *rn, const mbentry_t *old)
{
    struct buf uses = BUF_INITIALIZER;

    if (rn->isadmin ||
        (mboxname_same_userid(rn->oldname, rn->newname) && specialuse_place_isvalid(rn->newname)))
        return 0;
    int r = specialuse_of(old, rn->txn, &uses);
    if (!r && buf_len(&uses)) r = IMAP_MAILBOX_SPECIALUSE;
    buf_free(&uses);
    return r;
}

static int check(struct renaming *rn, const mbentry_t *old, bool *moves_messages)
{
    *moves_messages = false;
    if (!strcmp(rn->oldname, rn->newname))
        return rn->flags & MBOXLIST_RENAME_NOCHECK ? 0 : check_move(rn, old);
    if (rn->flags & MBOXLIST_RENAME_NOCHECK) {
        rn->isuser = mboxname_isusermailbox(rn->oldname, true) &&
                     mboxname_isusermailbox(rn->newname, true);
        return mboxname_policycheck(rn->newname);
    }
    if (!rn->isadmin && !(cyrus_acl_myrights(rn->auth, old->acl) & ACL_DELETEMBOX))
        return mboxlist_denied(old, false, rn->auth);
    int r = check_inbox(rn, moves_messages);
    struct mboxlist_createargs target = target_of(rn, old);
    if (!r) r = mboxlist_createmailboxcheck(&target);
    if (!r) r = check_specialuse(rn, old);
    return r;
}

/* Every name of the tree must be possible and free. */
static int check_children(const struct renaming *rn, const ptrarray_t *entries)
{
    hash_table taken = HASH_TABLE_INITIALIZER;
    int r = mboxlist_taken_names(rn->newname, rn->txn, &taken);

    for (int i = 0; !r && i < ptrarray_size(entries); i++) {
        const mbentry_t *old = ptrarray_nth(entries, i);
        char *newname = mboxname_renamed(old->name, rn->oldname, rn->newname);
        r = newname ? mboxname_policycheck(newname) : IMAP_INTERNAL;
        if (!r && strcmp(newname, old->name) && mboxlist_is_taken(&taken, newname)) {
            r = mboxlist_lookup(newname, NULL, rn->txn);
            r = !r ? IMAP_MAILBOX_EXISTS : r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
        }
        free(newname);
    }
    free_hash_table(&taken, NULL);
    return r;
}

/* ---- a user ---- */

/* Legacy files do not follow the uniqueid: they are moved to the new name. */
static int move_legacy_files(struct txn *txn, const char *olduser, const char *newuser)
{
    struct user_meta *from = NULL, *to = NULL;
    int r = user_meta_lookup(olduser, txn, &from);
    if (!r && !user_meta_uniqueid(from)) r = user_meta_legacy(newuser, &to);
    if (!r && to) r = user_meta_move(txn, from, to, USER_FILE_RENAME, true);
    user_meta_free(&from);
    user_meta_free(&to);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static int copy_root(const struct quota *q, void *rock)
{
    strarray_append(rock, q->root);
    return 0;
}

static int collect_roots(const char *inbox, strarray_t *roots)
{
    int r = quota_foreach(inbox, copy_root, roots);

    for (int i = strarray_size(roots) - 1; i >= 0; i--) {
        if (!mboxname_is_prefix(strarray_nth(roots, i), inbox)) free(strarray_remove(roots, i));
    }
    return r;
}

/* Those that are, and those that a user brings with him. */
static int find_tree_roots(const struct renaming *rn, struct tree_roots *roots)
{
    strarray_t list = STRARRAY_INITIALIZER;

    *roots = (struct tree_roots){ .top = rn->newname };
    construct_hash_table(&roots->below, 16);
    int r = quota_findroot(rn->newname, rn->txn, &roots->above);
    if (!r) r = collect_roots(rn->newname, &list);
    for (int i = 0; !r && i < strarray_size(&list); i++) hash_insert(strarray_nth(&list, i), roots, &roots->below);
    strarray_truncate(&list, 0);
    if (!r && rn->isuser) r = collect_roots(rn->oldname, &list);
    for (int i = 0; !r && i < strarray_size(&list); i++) {
        char *root = mboxname_renamed(strarray_nth(&list, i), rn->oldname, rn->newname);
        hash_insert(root, roots, &roots->below);
        free(root);
    }
    strarray_fini(&list);
    return r;
}

int mboxlist_move_quotaroots_begin(struct txn *txn, const char *oldname, const char *newname)
{
    strarray_t roots = STRARRAY_INITIALIZER;

    int r = collect_roots(oldname, &roots);
    for (int i = 0; !r && i < strarray_size(&roots); i++) {
        struct quota q;
        char *root = mboxname_renamed(strarray_nth(&roots, i), oldname, newname);
        r = quota_read(strarray_nth(&roots, i), txn, &q);
        free(q.root);
        q.root = root;
        q.modseq = 0;
        if (!r) r = quota_write(txn, &q);
        quota_free(&q);
    }
    strarray_fini(&roots);
    return r;
}

int mboxlist_move_quotaroots_end(struct txn *txn, const char *oldname)
{
    strarray_t roots = STRARRAY_INITIALIZER;

    int r = collect_roots(oldname, &roots);
    for (int i = 0; !r && i < strarray_size(&roots); i++)
        r = quota_deleteroot(txn, strarray_nth(&roots, i));
    strarray_fini(&roots);
    return r;
}

/* ---- RENAME ---- */

/* Who moves a mailbox, and whose it is, stays subscribed to it; if that is wanted. */
static bool moves_subscriptions(const struct renaming *rn)
{
    return rn->userid && !rn->isuser && !(rn->flags & MBOXLIST_RENAME_SILENT) && strcmp(rn->oldname, rn->newname) &&
           config_getswitch(IMAPOPT_RENAME_SUBSCRIPTIONS);
}

static int move_subscriptions(const struct renaming *rn, const char *oldname, const char *newname)
{
    char *owner = mboxname_to_userid(oldname);
    int r = owner ? sub_rename(rn->txn, owner, oldname, newname) : 0;

    if (!r && strcmpnull(owner, rn->userid)) r = sub_rename(rn->txn, rn->userid, oldname, newname);
    free(owner);
    return r;
}

/* Nothing is to be looked at for each folder: what a rename changes there is known from the two names. */
static int check_later(struct renaming *rn, const ptrarray_t *entries)
{
    strarray_t taken = STRARRAY_INITIALIZER;
    char *from = NULL, *to = NULL;

    rn->later = false;
    if (rn->partition || (rn->flags & MBOXLIST_RENAME_SILENT) || !mboxlist_may_follow(entries, rn->txn)) return 0;
    int r = collect_roots(rn->newname, &taken);
    if (!r) r = quota_findroot(rn->oldname, rn->txn, &from);
    if (!r) r = quota_findroot(rn->newname, rn->txn, &to);
    rn->later = !r && !strarray_size(&taken) && (!strcmpnull(from, to) || !strcmpnull(from, rn->oldname));
    strarray_fini(&taken);
    free(from);
    free(to);
    return r;
}

static int rename_entries(struct renaming *rn, const ptrarray_t *entries,
                          uint32_t uidvalidity, mboxlist_rename_cb *cb, void *rock)
{
    char *olduser = rn->isuser ? mboxname_to_userid(rn->oldname) : NULL;
    char *newuser = rn->isuser ? mboxname_to_userid(rn->newname) : NULL;
    bool many = ptrarray_size(entries) > 1;
    struct tree_roots roots;
    int r = many ? find_tree_roots(rn, &roots) : 0;

    for (int i = 0; !r && i < ptrarray_size(entries); i++) {
        const mbentry_t *old = ptrarray_nth(entries, i);
        char *newname = mboxname_renamed(old->name, rn->oldname, rn->newname);
        struct rename_one one = { .old = old,
                                  .newname = newname,
                                  .partition = rn->partition,
                                  .uidvalidity = i ? 0 : uidvalidity,
                                  .silent = rn->flags & MBOXLIST_RENAME_SILENT,
                                  .olduser = olduser,
                                  .newuser = newuser,
                                  .roots = many ? &roots : NULL };
        if (!i || !rn->later) r = mboxlist_rename_one(rn->txn, &one);
        if (!r && !i && rn->later) r = mboxlist_rename_later(rn->txn, rn->oldname, newname, &rn->later);
        if (!r && moves_subscriptions(rn)) r = move_subscriptions(rn, old->name, newname);
        if (!r && cb) cb(old->name, newname, rock);
        free(newname);
    }
    if (many) {
        free(roots.above);
        free_hash_table(&roots.below, NULL);
    }
    free(olduser);
    free(newuser);
    return r;
}

/* What folders that follow use is counted at their new roots at once: they bring their roots with them. */
static int move_usage(const struct renaming *rn)
{
    strarray_t roots = STRARRAY_INITIALIZER;

    int r = collect_roots(rn->oldname, &roots);
    for (int i = 0; !r && i < strarray_size(&roots); i++) {
        struct quota q;
        char *root = mboxname_renamed(strarray_nth(&roots, i), rn->oldname, rn->newname);
        r = quota_read(strarray_nth(&roots, i), rn->txn, &q);
        if (!r) r = quota_update_useds(rn->txn, root, q.useds, root);
        quota_free(&q);
        free(root);
    }
    strarray_fini(&roots);
    return r;
}

static int rename_user(struct renaming *rn, const ptrarray_t *entries, uint32_t uidvalidity,
                       mboxlist_rename_cb *cb, void *rock)
{
    char *olduser = mboxname_to_userid(rn->oldname), *newuser = mboxname_to_userid(rn->newname);

    int r = mboxlist_pending_settle(rn->txn, rn->oldname);
    if (!r) r = mboxlist_pending_settle(rn->txn, rn->newname);
    if (!r) r = check_later(rn, entries);
    if (!r) r = move_legacy_files(rn->txn, olduser, newuser);
    if (!r) r = mboxlist_move_quotaroots_begin(rn->txn, rn->oldname, rn->newname);
    if (!r) r = rename_entries(rn, entries, uidvalidity, cb, rock);
    if (!r && rn->later) r = move_usage(rn);
    if (!r) r = mboxlist_move_quotaroots_end(rn->txn, rn->oldname);
    if (!r) {
        sync_log_unuser(rn->txn, olduser);
        sync_log_user(rn->txn, newuser);
    }
    free(olduser);
    free(newuser);
    return r;
}

/* What went into its own subtree is missing among the parents of its new name. */
static int fill_gap(const struct renaming *rn, struct mboxlist_createargs target)
{
    size_t len = strlen(rn->oldname) + 1;

    if (!mboxname_is_prefix(rn->newname, rn->oldname)) return 0;
    char *child = xstrndup(rn->newname, len + strcspn(rn->newname + len, "."));
    target.name = child;
    int r = mboxlist_create_ancestors(rn->txn, &target);
    free(child);
    return r;
}

/* entries: what is to be renamed, the mailbox itself first. */
static int run(struct renaming *rn, const ptrarray_t *entries, uint32_t uidvalidity,
               mboxlist_rename_cb *cb, void *rock)
{
    const mbentry_t *old = ptrarray_nth(entries, 0);
    struct mboxlist_createargs target = target_of(rn, old);
    bool same = !strcmp(rn->oldname, rn->newname);
    bool parents = !same && !(rn->flags & MBOXLIST_RENAME_NOCHECK);

    int r = same ? 0 : check_children(rn, entries);
    if (!r && parents) r = mboxlist_create_ancestors(rn->txn, &target);
    if (r) return r;
    r = rn->isuser ? rename_user(rn, entries, uidvalidity, cb, rock)
                   : rename_entries(rn, entries, uidvalidity, cb, rock);
    return r || !parents ? r : fill_gap(rn, target);
}

static int begin(struct renaming *rn, mbentry_t **oldp)
{
    strarray_t users = STRARRAY_INITIALIZER;

    strarray_appendm(&users, mboxname_to_userid(rn->oldname));
    strarray_appendm(&users, mboxname_to_userid(rn->newname));
    if (moves_subscriptions(rn)) strarray_append(&users, rn->userid);
    int r = txn_lock_users(rn->txn, &users);
    if (!r) r = mboxlist_lookup(rn->oldname, oldp, rn->txn);
    strarray_fini(&users);
    return r;
}

int mboxlist_renamemailbox(struct txn *txn, const mbentry_t *old, const char *newname,
                           const char *partition, uint32_t uidvalidity, bool isadmin,
                           const char *userid, const struct auth_state *auth, unsigned flags)
{
    struct renaming rn = {
        txn, old->name, newname, partition, isadmin, userid, auth, flags, false, false
    };
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    mbentry_t *now = NULL;
    bool moves_messages = false;

    int r = begin(&rn, &now);
    if (!r) r = check(&rn, now, &moves_messages);
    if (!r && moves_messages) {
        struct mboxlist_createargs target = target_of(&rn, now);
        r = mboxlist_rename_inbox(txn, now, &target);
    }
    else if (!r) {
        ptrarray_append(&entries, now);
        r = run(&rn, &entries, uidvalidity, NULL, NULL);
    }
    ptrarray_fini(&entries);
    mbentry_free(&now);
    return r;
}

int mboxlist_renametree(struct txn *txn, const char *oldname, const char *newname,
                        const char *partition, bool isadmin, const char *userid,
                        const struct auth_state *auth, unsigned flags, mboxlist_rename_cb *cb,
                        void *rock)
{
    struct renaming rn = { txn, oldname, newname, partition, isadmin, userid, auth, flags, false, false };
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    mbentry_t *now = NULL;
    bool moves_messages = false,
         inside = strcmp(oldname, newname) && mboxname_is_prefix(newname, oldname);

    int r = begin(&rn, &now);
    if (!r) r = check(&rn, now, &moves_messages);
    if (!r && moves_messages) {
        struct mboxlist_createargs target = target_of(&rn, now);
        r = mboxlist_rename_inbox(txn, now, &target);
    }
    else if (!r) {
        ptrarray_append(&entries, mbentry_dup(now));
        /* into its own subtree: the children stay where they are */
        if (!inside)
            r = mboxlist_collect_tree(oldname, MBOXTREE_SKIP_ROOT | MBOXTREE_INTERMEDIATES,
                                      &entries);
        if (!r) r = run(&rn, &entries, 0, cb, rock);
    }
    mboxlist_collect_free(&entries);
    mbentry_free(&now);
    return r;
}
