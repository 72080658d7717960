/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_fold -- the changes of quota roots that one transaction gathers
 *
 * Differences add up, however many messages and mailboxes they come from. Limits, usage and
 * removal replace each other in the order they are asked for. The modseq of a
 * user's root is taken from his counters once per root, after the mailboxes have reported
 * (TXN_ORDER_MAILBOX) and before the counters are written.
 */
#include <config.h>

#include "quota_fold.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "sync_log.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define FOLDS_KEY "quota"
#define ORDER_MODSEQ (TXN_ORDER_COUNTERS - 5)

struct folds {
    hash_table table; /* root -> struct quota_fold */
    bool silent;
};

static void fold_free(void *data)
{
    struct quota_fold *fold = data;

    free(fold->root);
    free(fold);
}

static void folds_free(void *data)
{
    struct folds *folds = data;

    free_hash_table(&folds->table, fold_free);
    free(folds);
}

const struct quota_fold *quota_fold_find(struct txn *txn, const char *root)
{
    struct folds *folds = txn_attached(txn, FOLDS_KEY);
    return folds ? hash_lookup(root, &folds->table) : NULL;
}

void quota_fold_roots(struct txn *txn, strarray_t *roots)
{
    struct folds *folds = txn_attached(txn, FOLDS_KEY);

    if (folds) hash_keys(&folds->table, roots);
    strarray_sort(roots, NULL);
}

bool quota_fold_isdirty(const struct quota_fold *fold)
{
    bool dirty = fold->hasuseds || fold->haslimits || fold->deleted;

    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) dirty |= fold->diff[res] != 0;
    return dirty;
}

/* ---- modseqs ---- */

static int take_modseq(struct txn *txn, struct quota_fold *fold, bool silent)
{
    struct user_meta *meta = NULL;
    char *userid = mboxname_to_userid(fold->root);
    int r = 0;

    if (!userid || fold->deleted || !quota_fold_isdirty(fold) ||
        !config_getswitch(IMAPOPT_CONVERSATIONS))
        goto done;
    r = user_meta_lookup(userid, txn, &meta);
    if (r == IMAP_MAILBOX_NONEXISTENT) { /* a root without its user's INBOX */
        r = 0;
        goto done;
    }
    if (r) goto done;
    if (fold->modseq || silent)
        fold->newmodseq = counters_set_modseq(txn, meta, fold->modseq, fold->root, 0, COUNTER_QUOTA,
                                              &r);
    else
        fold->newmodseq = counters_next_modseq(txn, meta, 0, fold->root, 0, COUNTER_QUOTA, &r);
done:
    user_meta_free(&meta);
    free(userid);
    return r;
}

static int take_modseqs(struct txn *txn, void *rock)
{
    struct folds *folds = rock;
    strarray_t roots = STRARRAY_INITIALIZER;
    int r = 0;

    quota_fold_roots(txn, &roots);
    for (int i = 0; !r && i < strarray_size(&roots); i++)
        r = take_modseq(txn, hash_lookup(strarray_nth(&roots, i), &folds->table), folds->silent);
    strarray_fini(&roots);
    return r ? r : quota_open_early(txn);
}

/* ---- gathering ---- */

static struct folds *folds_get(struct txn *txn)
{
    struct folds *folds = txn_attached(txn, FOLDS_KEY);

    if (folds) return folds;
    folds = xzmalloc(sizeof(*folds));
    construct_hash_table(&folds->table, 0);
    txn_attach(txn, FOLDS_KEY, folds, folds_free);
    txn_on_commit(txn, ORDER_MODSEQ, take_modseqs, folds);
    txn_on_commit(txn, TXN_ORDER_QUOTA, quota_write_folds, NULL);
    return folds;
}

static struct quota_fold *fold_get(struct txn *txn, const char *root)
{
    struct folds *folds = folds_get(txn);
    struct quota_fold *fold = hash_lookup(root, &folds->table);

    if (fold) return fold;
    fold = xzmalloc(sizeof(*fold));
    fold->root = xstrdup(root);
    hash_insert(root, fold, &folds->table);
    return fold;
}

void quota_set_silent(struct txn *txn)
{
    folds_get(txn)->silent = true;
}

int quota_update_useds(struct txn *txn, const char *root, const int64_t diff[QUOTA_NUMRESOURCES],
                       const char *mboxname)
{
    bool any = false;

    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) any |= diff[res] != 0;
    if (!root || !*root || !any) return 0;
    struct quota_fold *fold = fold_get(txn, root);
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) {
        if (__builtin_add_overflow(fold->diff[res], diff[res], &fold->diff[res])) {
            xsyslog_errno(LOG_ERR, 0, "IOERROR: change of quota usage beyond all bounds",
                          "root=<%s> mailbox=<%s>", root, mboxname);
            return IMAP_INTERNAL;
        }
    }
    return 0;
}

int quota_write(struct txn *txn, const struct quota *q)
{
    struct quota_fold *fold = fold_get(txn, q->root);

    memcpy(fold->limits, q->limits, sizeof(fold->limits));
    fold->haslimits = true;
    fold->modseq = q->modseq;
    sync_log_quota(txn, q->root);
    return 0;
}

int quota_set_useds(struct txn *txn, const char *root, const int64_t useds[QUOTA_NUMRESOURCES])
{
    struct quota_fold *fold = fold_get(txn, root);

    memcpy(fold->useds, useds, sizeof(fold->useds));
    memset(fold->diff, 0, sizeof(fold->diff));
    fold->hasuseds = true;
    return 0;
}

int quota_deleteroot(struct txn *txn, const char *root)
{
    struct quota_fold *fold = fold_get(txn, root);

    memset(fold->diff, 0, sizeof(fold->diff));
    fold->haslimits = fold->hasuseds = false;
    fold->deleted = true;
    sync_log_quota(txn, root);
    return 0;
}

/* ---- applying ---- */

static void add(struct quota *q, const struct quota_fold *fold, enum quota_resource res, bool quiet)
{
    if (!quota_add(&q->useds[res], fold->diff[res]) && !quiet)
        xsyslog_errno(LOG_ERR, 0, "IOERROR: quota usage beyond all bounds, quota -f counts it anew",
                      "root=<%s> resource=<%s>", q->root, quota_names[res]);
    if (q->useds[res] >= 0) return;
    if (!quiet)
        syslog(LOG_INFO,
               "Quota underflow for root %s, resource %s, you may wish to run \"quota -f\"",
               q->root, quota_names[res]);
    q->useds[res] = 0;
}

int quota_fold_apply(const struct quota_fold *fold, struct quota *q, int r, bool quiet)
{
    if (fold->deleted) { /* what follows starts from nothing */
        char *root = xstrdup(q->root);
        quota_free(q);
        quota_init(q, root);
        free(root);
        r = IMAP_QUOTAROOT_NONEXISTENT;
    }
    if (r == IMAP_QUOTAROOT_NONEXISTENT && fold->haslimits) r = 0;
    if (r) return r;
    if (fold->haslimits) memcpy(q->limits, fold->limits, sizeof(q->limits));
    if (fold->hasuseds) memcpy(q->useds, fold->useds, sizeof(q->useds));
    for (int res = 0; res < QUOTA_NUMRESOURCES; res++)
        add(q, fold, (enum quota_resource)res, quiet);
    if (fold->newmodseq)
        q->modseq = fold->newmodseq;
    else if (fold->modseq)
        q->modseq = fold->modseq;
    else if (!config_getswitch(IMAPOPT_CONVERSATIONS) && mboxname_isusermailbox(q->root, false))
        q->modseq++;
    return 0;
}
