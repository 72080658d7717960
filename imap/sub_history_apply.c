/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sub_history_apply -- histories of subscriptions as replication and expiry want them
 *
 * Each is one transaction; where the file had to be set aside, a second one makes it anew.
 */
#include <config.h>

#include "sub_history.h"

#include <stdlib.h>

#include "buf.h"
#include "imap_err.h"
#include "namelock.h"
#include "sub_codec.h"
#include "sub_file.h"
#include "sub_history_internal.h"

typedef int work_fn(struct history *h, struct sub_list *now, void *rock);

static int run_once(const char *userid, work_fn *fn, void *rock, struct sub_list *now, bool *again)
{
    struct history h = { 0 };
    struct txn_db *sub = NULL;
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = sub_file_open(userid, txn, TXN_DB_CREATE | TXN_DB_CONVERT, &sub);
    if (!r) r = sub_history_open(txn, sub, userid, &h);
    if (!r) r = sub_history_read_in_line(&h, now);
    if (!r && !h.aside && fn) r = fn(&h, now, rock);
    *again = h.aside;
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    sub_history_close(&h);
    return r;
}

/* What was set aside is made anew by the second one. */
static int run(const char *userid, work_fn *fn, void *rock, struct sub_list *now)
{
    bool again = false;
    int r = run_once(userid, fn, rock, now, &again);

    if (!r && again) {
        sub_list_fini(now);
        r = run_once(userid, fn, rock, now, &again);
    }
    return !r && again ? IMAP_MAILBOX_BADFORMAT : r;
}

/* Nobody is told what a power cut could take back. */
static int wait_for(const char *userid)
{
    struct namelock *lock = NULL;
    int r = namelock_user(userid, NAMELOCK_SHARED, 0, &lock);
    uint64_t lsn = r ? 0 : namelock_seen_lsn(lock);

    namelock_release(&lock);
    return r ? r : txn_wait(lsn);
}

int sub_history_read(const char *userid, struct sub_list *list)
{
    int r = run(userid, NULL, NULL, list);

    return r ? r : wait_for(userid);
}

struct applying {
    const struct sub_list *list;
    size_t changed;
};

static int apply_one(struct history *h, const struct sub_list *now, const struct sub_entry *e, size_t *changed)
{
    const struct sub_entry *old = sub_list_find(now, e->name);

    if (old && sub_entry_cmp(e, old) <= 0) return 0;
    int r = sub_history_put(h, e);
    if (r || h->aside || (old && old->on) == e->on) return r;
    (*changed)++;
    return sub_file_set(h->txn, h->sub, h->userid, e->name, e->on);
}

static int apply(struct history *h, struct sub_list *now, void *rock)
{
    struct applying *ap = rock;
    int r = 0;

    ap->changed = 0;
    for (size_t i = 0; !r && i < ap->list->n; i++) {
        struct sub_entry e = ap->list->v[i];
        e.name = sub_history_readable(h, e.name);
        if (e.name) r = apply_one(h, now, &e, &ap->changed);
        free(e.name);
    }
    return r;
}

int sub_history_apply(const char *userid, const struct sub_list *list, size_t *changed)
{
    struct sub_list now = SUB_LIST_INITIALIZER;
    struct applying ap = { .list = list };
    int r = run(userid, apply, &ap, &now);

    sub_list_fini(&now);
    if (changed) *changed = ap.changed;
    return r;
}

static int expire(struct history *h, const struct sub_list *all, time_t before, size_t *removed)
{
    uint64_t limit = before > 0 ? (uint64_t)before * USEC : 0;
    struct buf key = BUF_INITIALIZER;
    int r = 0;

    for (size_t i = 0; !r && i < all->n; i++) {
        if (all->v[i].on || all->v[i].stamp >= limit) continue;
        sub_key_print(all->v[i].name, h->userid, &key);
        r = txn_db_delete(h->db, buf_base(&key), buf_len(&key));
        (*removed)++;
    }
    buf_free(&key);
    return sub_history_db_failed(h, r);
}

int sub_history_expire(struct txn *txn, const char *userid, time_t before, size_t *removed)
{
    struct sub_list all = SUB_LIST_INITIALIZER;
    struct history h = { 0 };
    struct txn_db *sub;

    int r = txn_lock_user(txn, userid);
    if (!r) r = sub_file_open(userid, txn, TXN_DB_CONVERT, &sub);
    if (!r) r = sub_history_open(txn, sub, userid, &h);
    if (!r) r = sub_history_read_all(&h, &all);
    if (!r && !h.aside) r = expire(&h, &all, before, removed);
    sub_history_close(&h);
    sub_list_fini(&all);
    return r;
}
