/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_delete -- a user's files go (handbook 01 §7.4, 02 §7.4)
 *
 * Conversations, counters, subscriptions and the like are removed when the transaction commits, with
 * whatever it has staged for them, at the place where the user's INBOX says they are: never
 * by the bare name. Files that the INBOX of another name owns now (a renamed user) are not touched.
 */
#include <config.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox_path.h"
#include "mboxlist_ops.h"
#include "mbtype.h"
#include "names_config.h"
#include "ptrarray.h"
#include "quota.h"
#include "sync_log.h"
#include "user.h"
#include "user_record.h"
#include "xmalloc.h"

struct removal {
    struct user_meta *meta;
    bool wipe;
};

static void removal_free(void *data)
{
    struct removal *rm = data;

    user_meta_free(&rm->meta);
    free(rm);
}

/* Commit hook: behind everything that writes into these files. */
static int remove_files(struct txn *txn, void *rock)
{
    struct removal *rm = rock;
    struct buf dir = BUF_INITIALIZER;
    struct stat st;

    for (const struct user_file *f = user_files; f->suffix; f++) {
        if (!(f->flags & USER_FILE_RESET) && !rm->wipe) continue;
        const char *path = user_meta_path(rm->meta, f->suffix);
        if (!path) return IMAP_MAILBOX_BADNAME;
        txn_db_remove(txn, path);
    }
    const char *uniqueid = user_meta_uniqueid(rm->meta);
    if (uniqueid && !user_path_dir(uniqueid, &dir) && !diskio_stat(buf_cstring(&dir), &st))
        txn_rmdir(txn, buf_cstring(&dir));
    buf_free(&dir);
    return 0;
}

/* ---- Sieve scripts: a plain directory of files ---- */

static void remove_sieve(struct txn *txn, const struct user_meta *meta)
{
    struct buf dir = BUF_INITIALIZER, path = BUF_INITIALIZER;
    struct dirent *e;
    DIR *d = NULL;

    if (config_getstring(IMAPOPT_SIEVEDIR) && !config_getswitch(IMAPOPT_SIEVEUSEHOMEDIR) &&
        !user_meta_sievedir(meta, &dir))
        d = opendir(buf_cstring(&dir));
    while (d && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        buf_reset(&path);
        buf_printf(&path, "%s/%s", buf_cstring(&dir), e->d_name);
        txn_unlink(txn, buf_cstring(&path));
    }
    if (d) {
        closedir(d);
        txn_rmdir(txn, buf_cstring(&dir));
    }
    buf_free(&dir);
    buf_free(&path);
}

/* ---- quota roots ---- */

static int collect_root(const struct quota *q, void *rock)
{
    strarray_append(rock, q->root);
    return 0;
}

static int delete_roots(struct txn *txn, const char *inbox)
{
    strarray_t roots = STRARRAY_INITIALIZER;

    int r = quota_foreach(inbox, collect_root, &roots);
    for (int i = 0; !r && i < strarray_size(&roots); i++) {
        if (mboxname_is_prefix(strarray_nth(&roots, i), inbox))
            r = quota_deleteroot(txn, strarray_nth(&roots, i));
    }
    strarray_fini(&roots);
    return r;
}

int user_deletedata(struct txn *txn, const char *userid, bool wipe)
{
    struct user_meta *meta = NULL;
    char *inbox = mboxname_user_mbox(userid, NULL);
    char *key = xasprintf("user_delete/%s", userid);
    struct removal *rm = txn_attached(txn, key);

    int r = inbox ? txn_lock_user(txn, userid) : IMAP_INVALID_USER;
    if (!r && rm) {
        rm->wipe |= wipe;
        goto done;
    }
    if (!r) r = delete_roots(txn, inbox);
    if (!r) r = user_meta_lookup_or_legacy(userid, txn, &meta);
    if (!r) {
        rm = xzmalloc(sizeof(*rm));
        remove_sieve(txn, meta);
        rm->meta = meta;
        rm->wipe = wipe;
        txn_attach(txn, key, rm, removal_free);
        txn_on_commit(txn, TXN_ORDER_MBOXLIST, remove_files, rm);
        sync_log_unuser(txn, userid);
    }
done:
    free(key);
    free(inbox);
    return r;
}

/* ---- what undelete needs ---- */

struct keeping {
    struct user_record *rec;
    const char *inbox;
};

static int keep_limits(const struct quota *q, void *rock)
{
    const struct keeping *k = rock;

    if (mboxname_is_prefix(q->root, k->inbox)) user_record_add_limits(k->rec, q);
    return 0;
}

int user_keep_for_undelete(struct txn *txn, const char *userid)
{
    char *inbox = mboxname_user_mbox(userid, NULL);
    struct keeping k = { user_record_new("", userid, USER_DELETED), inbox };

    int r = inbox ? quota_foreach(inbox, keep_limits, &k) : IMAP_INVALID_USER;
    /* subscriptions that can't be read are no reason to keep a user */
    if (!r) (void)sub_list(userid, &k.rec->subscribed);
    if (!r) r = user_record_keep(txn, userid, k.rec);
    user_record_free(&k.rec);
    free(inbox);
    return r;
}

/* ---- the whole user ---- */

static int collect_entry(const mbentry_t *mbentry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(mbentry));
    return 0;
}

/* Last first, so that the INBOX with the user's place goes at the end. */
static int remove_mailboxes(struct txn *txn, const char *userid, bool deleted, unsigned how)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = mboxlist_usermboxtree(userid, collect_entry, &entries,
                                  MBOXTREE_INTERMEDIATES | (deleted ? MBOXTREE_DELETED : 0));

    for (int i = ptrarray_size(&entries) - 1; i >= 0; i--) {
        mbentry_t *entry = ptrarray_nth(&entries, i);
        if (!r && (entry->mbtype & MBTYPE_INTERMEDIATE))
            r = mboxlist_delete_entry(txn, entry->name);
        else if (!r)
            r = mboxlist_deletemailbox(txn, entry->name, true, NULL, NULL, how);
        mbentry_free(&entry);
    }
    ptrarray_fini(&entries);
    return r;
}

int user_remove(struct txn *txn, const char *userid, bool deleted, unsigned how)
{
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = mboxlist_lookup(name, &inbox, txn);
    bool existed = !r;

    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    if (!r && existed) r = user_keep_for_undelete(txn, userid);
    /* the files are found through the INBOX, so they are marked while it is there */
    if (!r && existed) r = user_deletedata(txn, userid, true);
    if (!r) r = remove_mailboxes(txn, userid, deleted, how);
    mbentry_free(&inbox);
    free(name);
    return r;
}
