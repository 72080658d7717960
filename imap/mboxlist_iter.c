/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_iter -- all mailboxes, trees, users, in database order
 *
 * Inside a transaction its own changes are seen. A damaged record is logged and skipped: one bad
 * entry must not hide the rest. The callback may look entries up and change them.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_pending.h"
#include "mboxlist_ops.h"
#include "mboxname.h"
#include "names_config.h"
#include "xmalloc.h"

struct iter {
    mboxlist_cb *cb;
    void *rock;
    unsigned flags;
    const char *skip; /* name of a root that is left out */
};

static bool is_wanted(const struct iter *it, const mbentry_t *entry)
{
    if ((entry->mbtype & MBTYPE_DELETED) && !(it->flags & MBOXTREE_TOMBSTONES)) return false;
    if ((entry->mbtype & MBTYPE_INTERMEDIATE) && !(it->flags & MBOXTREE_INTERMEDIATES))
        return false;
    if (it->skip && !strcmp(entry->name, it->skip)) return false;
    return (it->flags & MBOXTREE_DELETED) || !mboxname_isdeletedmailbox(entry->name, NULL);
}

static int entry_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct iter *it = rock;
    mbentry_t *entry = NULL;

    if (mboxlist_db_parse_n(key, keylen, data, datalen, &entry)) return 0;
    int r = is_wanted(it, entry) ? it->cb(entry, it->rock) : 0;
    mbentry_free(&entry);
    return r;
}

static int run_key(struct txn_db *db, const struct buf *prefix, struct iter *it)
{
    return mboxlist_view_foreach(db, buf_base(prefix), buf_len(prefix), entry_cb, it);
}

int mboxlist_allmbox(const char *prefix, mboxlist_cb *cb, void *rock, unsigned flags)
{
    struct iter it = { cb, rock, flags, NULL };
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;

    int r = mboxlist_db_open(txn_current(), &db);
    if (r) return r;
    mboxlist_db_prefix(prefix, &key);
    r = run_key(db, &key, &it);
    mboxlist_db_close(&db);
    buf_free(&key);
    return r;
}

struct shared {
    mboxlist_cb *cb;
    void *rock;
};

static int shared_cb(const mbentry_t *mbentry, void *rock)
{
    const struct shared *shared = rock;
    char *userid = mboxname_to_userid(mbentry->name);
    int r = userid || (mbentry->mbtype & MBTYPE_REMOTE) ? 0 : shared->cb(mbentry, shared->rock);

    free(userid);
    return r;
}

int mboxlist_allshared(mboxlist_cb *cb, void *rock)
{
    struct shared shared = { cb, rock };

    return mboxlist_allmbox(NULL, shared_cb, &shared, MBOXTREE_DELETED);
}

/* ---- trees ---- */

/* The mailbox itself; nothing if there is none. */
static int run_root(struct txn_db *db, const char *name, struct iter *it)
{
    mbentry_t *entry = NULL;

    int r = mboxlist_db_fetch_n(db, name, &entry);
    if (r) return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT ? 0 : r;
    if (is_wanted(it, entry)) r = it->cb(entry, it->rock);
    mbentry_free(&entry);
    return r;
}

static int run_below(struct txn_db *db, const char *name, struct iter *it)
{
    struct buf key = BUF_INITIALIZER;

    mboxlist_db_prefix(name, &key);
    buf_putc(&key, DB_HIERSEP_CHAR);
    int r = run_key(db, &key, it);
    buf_free(&key);
    return r;
}

int mboxlist_mboxtree(const char *mboxname, mboxlist_cb *cb, void *rock, unsigned flags)
{
    struct iter it = { cb, rock, flags, NULL };
    struct txn_db *db;

    int r = mboxlist_db_open(txn_current(), &db);
    if (r) return r;
    it.flags |= mboxname_isdeletedmailbox(mboxname, NULL) ? MBOXTREE_DELETED : 0;
    if (!(flags & MBOXTREE_SKIP_ROOT)) r = run_root(db, mboxname, &it);
    if (!r) r = run_below(db, mboxname, &it);
    if (!r && (flags & MBOXTREE_DELETED)) {
        char *root = mboxname_deletedtree(mboxname);
        r = run_below(db, root, &it);
        free(root);
    }
    mboxlist_db_close(&db);
    return r;
}

/* ---- which names are taken ---- */

static int taken_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    mbentry_t *entry = NULL;
    struct buf name = BUF_INITIALIZER;

    int r = mboxlist_db_parse_n(key, keylen, data, datalen, &entry);
    if (r || !(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE))) {
        buf_setmap(&name, key, keylen);
        hash_insert(buf_cstring(&name), rock, rock);
    }
    mbentry_free(&entry);
    buf_free(&name);
    return 0;
}

int mboxlist_taken_names(const char *root, struct txn *txn, hash_table *taken)
{
    struct buf key = BUF_INITIALIZER;
    struct txn_db *db;
    const char *val;
    size_t len;

    int r = mboxlist_db_open(txn, &db);
    if (r) return r;
    construct_hash_table(taken, 64);
    mbentry_key_name(root, &key);
    r = mboxlist_view_fetch(db, buf_base(&key), buf_len(&key), &val, &len);
    if (!r) r = taken_cb(taken, buf_base(&key), buf_len(&key), val, len);
    if (r == IMAP_NOTFOUND) r = 0;
    buf_putc(&key, DB_HIERSEP_CHAR);
    if (!r) r = mboxlist_view_foreach(db, buf_base(&key), buf_len(&key), taken_cb, taken);
    mboxlist_db_close(&db);
    buf_free(&key);
    return r;
}

bool mboxlist_is_taken(const hash_table *taken, const char *name)
{
    struct buf key = BUF_INITIALIZER;

    mbentry_key_name(name, &key);
    bool is = hash_lookup(buf_cstring(&key), taken) != NULL;
    buf_free(&key);
    return is;
}

int mboxlist_usermboxtree(const char *userid, mboxlist_cb *cb, void *rock, unsigned flags)
{
    char *inbox = mboxname_user_mbox(userid, NULL);

    int r = inbox ? mboxlist_mboxtree(inbox, cb, rock, flags) : 0;
    free(inbox);
    return r;
}

/* ---- users ---- */

struct user_iter {
    int (*cb)(const char *userid, void *rock);
    void *rock;
};

/* One record; *next is set to the key to go on behind. */
static int user_record(struct user_iter *it, const char *key, size_t keylen, const char *data,
                       size_t datalen, struct buf *next)
{
    mbname_t *mbname = mbname_from_dbkey(dbname_of(key + 1, keylen - 1));
    mbentry_t *entry = NULL;
    int r = 0;

    buf_setmap(next, key, keylen);
    if (mbname && mbname_is_inbox(mbname)) {
        /* children follow their parent directly: none of them is looked at */
        buf_appendmap(next, "\x1f\xff", 2);
        if (!mboxlist_db_parse_n(key, keylen, data, datalen, &entry) &&
            !(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)))
            r = it->cb(mbname_userid(mbname), it->rock);
    }
    mbentry_free(&entry);
    mbname_free(&mbname);
    return r;
}

int mboxlist_alluser(int (*cb)(const char *userid, void *rock), void *rock)
{
    struct user_iter it = { cb, rock };
    struct mboxlist_view_cursor cursor = { "N", 1, PTRARRAY_INITIALIZER };
    struct buf next = BUF_INITIALIZER, data = BUF_INITIALIZER, keybuf = BUF_INITIALIZER;
    const char *key, *val;
    size_t keylen, len;
    struct txn_db *db;

    int r = mboxlist_db_open(txn_current(), &db);
    if (r) return r;
    buf_setcstr(&next, "N");
    while (
        !(r = mboxlist_view_fetchnext(db, &cursor, buf_base(&next), buf_len(&next), &key, &keylen, &val, &len))) {
        if (!keylen || key[0] != 'N') break;
        buf_setmap(&data, val, len); /* the callback may use the database */
        buf_setmap(&keybuf, key, keylen);
        r = user_record(&it, buf_base(&keybuf), keylen, buf_cstring(&data), len, &next);
        if (r) break;
    }
    if (r == IMAP_NOTFOUND) r = 0;
    mboxlist_db_close(&db);
    mboxlist_view_cursor_fini(&cursor);
    buf_free(&next);
    buf_free(&data);
    buf_free(&keybuf);
    return r;
}
