/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_former -- identities that have no mailbox any more
 *
 * "Deleted" must be proved by a record, and so must "never seen" by the absence of all. What neither proves is
 * unknown: a record that cannot be read is not an absent one. Of the two records of a tombstone (name
 * and identity), written in one transaction, one that can be read is enough.
 *
 * 3.6.1 leaves I records behind, too, without the field R: such a one, with no N record
 * that points back, proves nothing (its sync_reset leaves the same as its cyr_expire).
 */
#include <config.h>

#include "mboxlist_former.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_pending.h"
#include "mbtype.h"
#include "strarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MOVED_KEY "mboxlist_moved_to"

/* ---- writing ---- */

int mboxlist_db_retire(struct txn *txn, struct txn_db *db, const char *uniqueid, const char *name,
                       const char *reason)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    mbentry_t *i = NULL;
    int r = mboxlist_db_fetch_i(db, uniqueid, &i);

    if (r) return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT ? 0 : r;
    if (!strcmpnull(i->name, name)) {
        time_t when = i->mbtype & MBTYPE_DELETED ? i->mtime : txn_time(txn);
        i->mbtype = (i->mbtype & (MBTYPE_TYPEMASK | MBTYPE_LEGACY_DIRS)) | MBTYPE_DELETED;
        xzfree(i->partition);
        xzfree(i->server);
        xzfree(i->acl);
        if (!i->reason) i->reason = xstrdup(reason);
        mbentry_key_uniqueid(uniqueid, &key);
        mbentry_print_i(i, when, &val);
        r = txn_db_store(db, buf_base(&key), buf_len(&key), buf_cstring(&val), buf_len(&val));
    }
    mbentry_free(&i);
    buf_free(&key);
    buf_free(&val);
    return r;
}

int mboxlist_former_add(struct txn *txn, const char *uniqueid, const char *name,
                        const char *replacedby)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    mbentry_t *i = NULL;
    int r = mboxlist_db_open(txn, &db);

    if (!r) r = mboxlist_db_fetch_i(db, uniqueid, &i);
    if (r == IMAP_MAILBOX_NONEXISTENT) {
        i = mbentry_new(name);
        i->mbtype = MBTYPE_DELETED;
        i->reason = xasprintf(FORMER_REPLACED "%s", replacedby);
        mbentry_key_uniqueid(uniqueid, &key);
        mbentry_print_i(i, txn_time(txn), &val);
        r = txn_db_store(db, buf_base(&key), buf_len(&key), buf_cstring(&val), buf_len(&val));
    }
    mboxlist_db_close(&db);
    mbentry_free(&i);
    buf_free(&key);
    buf_free(&val);
    return r;
}

void mboxlist_moved_to(struct txn *txn, const char *server)
{
    if (!txn_attached(txn, MOVED_KEY))
        txn_attach(txn, MOVED_KEY, xasprintf(FORMER_MOVED "%s", server), free);
}

const char *mboxlist_moved_reason(struct txn *txn)
{
    return txn_attached(txn, MOVED_KEY);
}

/* ---- what is known ---- */

struct witness {
    const char *uniqueid, *name;
    modseq_t created;
    int ri, rn;      /* results of the two look-ups */
    mbentry_t *i;    /* I record of the identity */
    mbentry_t *n;    /* N record of the name that the identity has, or of the one asked for */
    bool points_back; /* n is an entry of the identity */
};

static bool is_readable(int r)
{
    return !r || r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT;
}

static int hear(struct txn_db *db, struct witness *w)
{
    w->ri = mboxlist_db_fetch_i(db, w->uniqueid, &w->i);
    if (!is_readable(w->ri)) return w->ri;
    w->rn = mboxlist_db_fetch_n(db, w->i ? w->i->name : w->name, &w->n);
    if (!is_readable(w->rn)) return w->rn;
    w->points_back = w->n && !strcmpnull(w->n->uniqueid, w->uniqueid);
    return 0;
}

static enum mboxlist_fate fate_of_entry(const mbentry_t *n)
{
    /* a mailbox that is deleted while it has children leaves an intermediate name */
    if (n->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)) return MBOXLIST_DELETED;
    return n->mbtype & MBTYPE_RESERVE ? MBOXLIST_UNKNOWN : MBOXLIST_ALIVE;
}

/* The I record can be read, and the N record does not belong to it. */
static enum mboxlist_fate fate_by_identity(const struct witness *w)
{
    bool gone = w->i->mbtype & MBTYPE_DELETED;

    if (gone && (w->i->reason || w->rn == IMAP_MAILBOX_BADFORMAT)) return MBOXLIST_DELETED;
    return w->rn == IMAP_MAILBOX_BADFORMAT ? MBOXLIST_DAMAGED : MBOXLIST_UNKNOWN;
}

/* There is no I record that can be read. */
static enum mboxlist_fate fate_by_name(const struct witness *w)
{
    if (w->rn == IMAP_MAILBOX_BADFORMAT) return MBOXLIST_DAMAGED;
    if (w->ri == IMAP_MAILBOX_BADFORMAT) {
        /* of a live entry a damaged I record is mended elsewhere; the name is witness enough */
        return w->points_back ? fate_of_entry(w->n) : MBOXLIST_DAMAGED;
    }
    if (!w->n) return MBOXLIST_NEVER_SEEN;
    if (w->points_back || (!w->n->uniqueid && (w->n->mbtype & MBTYPE_DELETED)))
        return fate_of_entry(w->n);
    /* The tombstone of another mailbox: this one may have been before it, when nothing was kept, unless it was made since:
     * whatever was here then has a modseq below that of the deletion. */
    if ((w->n->mbtype & MBTYPE_DELETED) && w->n->foldermodseq && w->created >= w->n->foldermodseq) return MBOXLIST_NEVER_SEEN;
    if (w->n->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE)) return MBOXLIST_UNKNOWN;
    return w->n->mbtype & MBTYPE_INTERMEDIATE ? MBOXLIST_NEVER_SEEN : MBOXLIST_NAME_TAKEN;
}

int mboxlist_lookup_fate(const char *uniqueid, const char *name, modseq_t created, enum mboxlist_fate *fate,
                         mbentry_t **entryp)
{
    struct witness w = { .uniqueid = uniqueid, .name = name, .created = created };
    struct txn_db *db = NULL;

    *entryp = NULL;
    *fate = MBOXLIST_UNKNOWN;
    int r = mboxlist_db_open(NULL, &db);
    if (!r) r = hear(db, &w);
    mboxlist_db_close(&db);
    if (!r) {
        if (!w.i)
            *fate = fate_by_name(&w);
        else
            *fate = w.points_back ? fate_of_entry(w.n) : fate_by_identity(&w);
        if (*fate == MBOXLIST_DAMAGED)
            xsyslog_errno(LOG_ERR, 0,
                          "DBERROR: cannot tell whether a mailbox was deleted here, a record is damaged",
                          "mailbox=<%s> uniqueid=<%s>", name, uniqueid);
        /* the name may have gone to another mailbox since */
        mbentry_t **from = *fate == MBOXLIST_DELETED && w.i && !w.points_back ? &w.i : &w.n;
        if (*fate != MBOXLIST_UNKNOWN && *fate != MBOXLIST_DAMAGED && *fate != MBOXLIST_NEVER_SEEN) {
            *entryp = *from;
            *from = NULL;
        }
    }
    mbentry_free(&w.i);
    mbentry_free(&w.n);
    return r;
}

/* ---- former names ---- */

modseq_t mboxlist_named_at(const mbentry_t *i)
{
    mbentry_t *left = NULL;
    modseq_t modseq = 0;

    if (i->nhistory && !mboxlist_lookup_allow_all(i->history[0].name, &left, NULL) && (left->mbtype & MBTYPE_DELETED) &&
        !strcmpnull(left->uniqueid, i->uniqueid))
        modseq = left->foldermodseq;
    mbentry_free(&left);
    return modseq;
}

/* ---- all of them ---- */

struct collect {
    struct txn_db *db;
    time_t before;
    strarray_t names, ids;
};

/* The I record of an identity that has no name, for a reason that we wrote. */
static bool is_former(struct txn_db *db, const mbentry_t *i)
{
    mbentry_t *n = NULL;

    if (!(i->mbtype & MBTYPE_DELETED) || !i->reason) return false;
    int r = mboxlist_db_fetch_n(db, i->name, &n);
    bool former = r == IMAP_MAILBOX_NONEXISTENT || (!r && strcmpnull(n->uniqueid, i->uniqueid));
    mbentry_free(&n);
    return former;
}

static int collect_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct collect *c = rock;
    mbentry_t *i = NULL;

    if (mbentry_parse_i(key + 1, keylen - 1, data, datalen, &i)) return 0;
    if ((i->mbtype & MBTYPE_DELETED) && i->reason && (!c->before || i->mtime < c->before)) {
        strarray_append(&c->names, i->name);
        strarray_append(&c->ids, i->uniqueid);
    }
    mbentry_free(&i);
    return 0;
}

int mboxlist_former_foreach(time_t before, mboxlist_former_cb *cb, void *rock)
{
    struct collect c = { NULL, before, STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    int r = mboxlist_db_open(txn_current(), &c.db);

    if (!r) r = mboxlist_view_foreach(c.db, "I", 1, collect_cb, &c);
    mboxlist_db_close(&c.db);
    for (int i = 0; !r && i < strarray_size(&c.ids); i++)
        r = cb(strarray_nth(&c.names, i), strarray_nth(&c.ids, i), rock);
    strarray_fini(&c.names);
    strarray_fini(&c.ids);
    return r;
}

int mboxlist_former_remove(struct txn *txn, const char *uniqueid)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    mbentry_t *i = NULL;
    int r = mboxlist_db_open(txn, &db);

    if (!r) r = mboxlist_db_fetch_i(db, uniqueid, &i);
    if (!r && is_former(db, i)) {
        mbentry_key_uniqueid(uniqueid, &key);
        r = txn_db_delete(db, buf_base(&key), buf_len(&key));
    }
    mboxlist_db_close(&db);
    mbentry_free(&i);
    buf_free(&key);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}
