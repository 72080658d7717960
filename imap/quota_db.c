/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_db -- the quota database: limits and raw usage of each root (handbook 01 §6)
 *
 * All changes of one root in one transaction are folded into one, which a commit hook
 * applies to the record as it is then, under the lock of the database. So the record
 * changes together with the mailboxes that it counts, and many processes may add to one root.
 *
 * Modseqs: the next one of the owner, taken before his counters are written. Usage never
 * falls below 0; such a step is logged. A root that has vanished is logged (LOSTQUOTA) and the
 * mailbox change stands. A damaged record is IMAP_MAILBOX_BADFORMAT, logged with its text, and is
 * not written over by usage changes.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "names_config.h"
#include "quota.h"
#include "quota_fold.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- the database ---- */

static int quota_open(struct txn *txn, unsigned flags, struct txn_db **dbp)
{
    struct buf path = BUF_INITIALIZER;
    struct names_config cfg;
    const char *set = config_getstring(IMAPOPT_QUOTA_DB_PATH);

    names_config_get(&cfg);
    if (set)
        buf_setcstr(&path, set);
    else
        buf_printf(&path, "%s/quotas.db", cfg.configdirectory);
    int r = txn_db_open(txn, config_getstring(IMAPOPT_QUOTA_DB), buf_cstring(&path),
                        TXN_DB_CREATE | TXN_DB_GLOBAL | flags, dbp);
    buf_free(&path);
    return r;
}

static int decode(struct quota *q, const char *val, size_t len)
{
    int r = quota_decode(q, val, len);
    if (r == IMAP_MAILBOX_BADFORMAT)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: error fetching quota", "root=<%s> value=<%.*s>",
                      q->root, (int)len, val);
    return r;
}

/* The record as it is in the database; q->root is set. */
static int fetch(struct txn_db *db, struct quota *q)
{
    const char *val;
    size_t len;

    int r = txn_db_fetch(db, q->root, strlen(q->root), &val, &len);
    if (r == IMAP_NOTFOUND) return IMAP_QUOTAROOT_NONEXISTENT;
    return r ? r : decode(q, val, len);
}

/* ---- reading ---- */

int quota_read(const char *root, struct txn *txn, struct quota *q)
{
    const struct quota_fold *fold = txn ? quota_fold_find(txn, root) : NULL;
    struct txn_db *db;

    quota_init(q, root);
    if (!*root) return IMAP_QUOTAROOT_NONEXISTENT;
    int r = quota_open(txn, 0, &db);
    if (r) return r;
    r = fetch(db, q);
    txn_db_close(&db);
    if (fold) r = quota_fold_apply(fold, q, r, true);
    return r;
}

static int exists(struct txn_db *db, struct txn *txn, const char *root, bool *found)
{
    const struct quota_fold *fold = txn ? quota_fold_find(txn, root) : NULL;
    const char *val;
    size_t len;

    *found = fold && fold->haslimits;
    if (fold && (fold->deleted || fold->haslimits)) return 0;
    int r = txn_db_fetch(db, root, strlen(root), &val, &len);
    *found = !r && len && *val;
    return r == IMAP_NOTFOUND ? 0 : r;
}

int quota_findroot(const char *name, struct txn *txn, char **rootp)
{
    struct txn_db *db;

    *rootp = NULL;
    if (mboxname_isdeletedmailbox(name, NULL)) return 0;
    int r = quota_open(txn, 0, &db);
    if (r) return r;
    char *root = xstrdup(name);
    bool found = false;
    do {
        r = exists(db, txn, root, &found);
    } while (!r && !found && mboxname_cut(root));
    txn_db_close(&db);
    if (!r && found)
        *rootp = root;
    else
        free(root);
    return r;
}

struct foreach_rock {
    int (*cb)(const struct quota *, void *);
    void *rock;
};

static int foreach_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct foreach_rock *fr = rock;
    struct quota q;

    if (!mbname_isquotaroot(syncname_of(key, keylen))) {
        mbname_log_refused("DBERROR: a quota root is no name", key, keylen);
        return 0;
    }
    char *root = xstrndup(key, keylen);
    quota_init(&q, root);
    int r = decode(&q, data, datalen) ? 0 : fr->cb(&q, fr->rock);
    quota_free(&q);
    free(root);
    return r;
}

int quota_foreach(const char *prefix, int (*cb)(const struct quota *, void *), void *rock)
{
    struct foreach_rock fr = { cb, rock };
    struct txn_db *db;

    int r = quota_open(NULL, 0, &db);
    if (r) return r;
    r = txn_db_foreach(db, prefix, prefix ? strlen(prefix) : 0, foreach_cb, &fr);
    txn_db_close(&db);
    return r;
}

int quota_check(const struct quota *q, enum quota_resource res, int64_t delta)
{
    int64_t after = q->useds[res];

    if (delta < 0) return 0;
    /* What can't be counted is refused without a limit, too. */
    return !quota_add(&after, delta) || after > quota_bound(q, res) ? IMAP_QUOTA_EXCEEDED : 0;
}

/* ---- writing, by commit hooks ---- */

static int store(struct txn_db *db, const struct quota *q)
{
    struct buf val = BUF_INITIALIZER;

    quota_encode(q, &val);
    int r = txn_db_store(db, q->root, strlen(q->root), buf_cstring(&val), buf_len(&val));
    buf_free(&val);
    return r;
}

static void lost(const struct quota_fold *fold, int r)
{
    syslog(LOG_ERR,
           "LOSTQUOTA: unable to record change of %lld bytes and %lld messages in quota %s: %s",
           (long long)fold->diff[QUOTA_STORAGE], (long long)fold->diff[QUOTA_MESSAGE], fold->root,
           error_message(r));
}

static int write_fold(struct txn_db *db, const struct quota_fold *fold)
{
    struct quota q;

    quota_init(&q, fold->root);
    int r = txn_db_lock_key(db, fold->root, strlen(fold->root));
    if (r) goto done;
    r = fetch(db, &q);
    if (r == IMAP_MAILBOX_BADFORMAT && (fold->haslimits || fold->deleted))
        r = IMAP_QUOTAROOT_NONEXISTENT;
    r = quota_fold_apply(fold, &q, r, false);
    if (r == IMAP_QUOTAROOT_NONEXISTENT && fold->deleted) {
        r = txn_db_delete(db, fold->root, strlen(fold->root));
        goto done;
    }
    if (r == IMAP_QUOTAROOT_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT) {
        lost(fold, r);
        r = 0;
        goto done;
    }
    if (!r) r = store(db, &q);
done:
    quota_free(&q);
    return r;
}

int quota_write_folds(struct txn *txn, void *rock)
{
    strarray_t roots = STRARRAY_INITIALIZER;
    struct txn_db *db;

    int r = quota_open(txn, 0, &db);
    if (r) return r;
    quota_fold_roots(txn, &roots); /* sorted: the order of the locks */
    for (int i = 0; !r && i < strarray_size(&roots); i++) {
        const struct quota_fold *fold = quota_fold_find(txn, strarray_nth(&roots, i));
        if (quota_fold_isdirty(fold)) r = write_fold(db, fold);
    }
    strarray_fini(&roots);
    return r;
}

int quota_open_early(struct txn *txn)
{
    struct txn_db *db;
    return quota_open(txn, TXN_DB_RMW, &db);
}
