/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_pending -- renames of users whose records follow: begun, gone on with, ended
 *
 * See mboxlist_pending.h. All of it is staged in the caller's transaction, which holds the lock of the user under his new name; the old
 * names are nobody's as long as the rename is there.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "journal_renames.h"
#include "mailbox_header.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_pending_int.h"
#include "mboxname.h"
#include "ptrarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* ---- keys ---- */

static void key_of(const char *kind, const char *name, struct buf *key)
{
    struct buf n = BUF_INITIALIZER;

    mbentry_key_name(name, &n);
    buf_setcstr(key, kind);
    buf_appendmap(key, buf_base(&n) + 1, buf_len(&n) - 1);
    buf_free(&n);
}

static int store(struct txn_db *db, const struct buf *key, const struct buf *val)
{
    return txn_db_store(db, buf_base(key), buf_len(key), val->s ? val->s : "", buf_len(val));
}

/* When the transaction is over perhaps nothing is pending: the last one has gone, or the first one has not come. */
static void ask(uint64_t lsn, void *rock)
{
    struct journal *j;

    (void)lsn, (void)rock;
    if (!txn_journal(&j)) journal_renames_ask(j);
}

static void ask_when_done(struct txn *txn)
{
    if (txn_attached(txn, "mboxlist_pending/ask")) return;
    txn_attach(txn, "mboxlist_pending/ask", txn, NULL);
    txn_on_done(txn, ask, NULL);
}

static int drop(struct txn *txn, struct txn_db *db, const struct buf *key)
{
    ask_when_done(txn);
    return txn_db_delete(db, buf_base(key), buf_len(key));
}

static int drop_rename(struct txn *txn, struct txn_db *db, const struct pending *p)
{
    struct buf key = BUF_INITIALIZER;

    key_of(PENDING_RENAME, p->oldinbox, &key);
    int r = drop(txn, db, &key);
    buf_free(&key);
    return r;
}

int mboxlist_pending_add(struct txn *txn, const char *oldinbox, const char *newinbox, modseq_t modseq)
{
    struct buf key = BUF_INITIALIZER, to = BUF_INITIALIZER, val = BUF_INITIALIZER;
    struct txn_db *db = NULL;
    struct journal *j;

    int r = txn_journal(&j);
    if (!r) r = mboxlist_db_open(txn, &db);
    if (!r) {
        ask_when_done(txn);
        journal_renames_some(j);
        key_of(PENDING_RENAME, oldinbox, &key);
        key_of("", newinbox, &to);
        buf_printf(&val, "%llu %lld %s", (unsigned long long)modseq, (long long)txn_time(txn), buf_cstring(&to));
        r = store(db, &key, &val);
    }
    mboxlist_db_close(&db);
    buf_free(&key);
    buf_free(&to);
    buf_free(&val);
    return r;
}

/* ---- one entry follows ---- */

static int move_identity(struct txn_db *db, const char *uniqueid)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;
    const char *data;
    size_t len;

    if (!uniqueid) return 0;
    mbentry_key_uniqueid(uniqueid, &key);
    int r = mboxlist_view_fetch(db, buf_base(&key), buf_len(&key), &data, &len);
    if (!r) {
        buf_setmap(&val, data, len);
        r = store(db, &key, &val);
    }
    buf_free(&key);
    buf_free(&val);
    return r == IMAP_NOTFOUND ? 0 : r;
}

/* The identity first: it is read by the name that is left. */
static int move_records(struct txn_db *db, const struct pending *p, const char *rest, size_t restlen, const struct unfollowed *u)
{
    struct buf key = BUF_INITIALIZER, val = BUF_INITIALIZER;

    int r = move_identity(db, u->now->uniqueid);
    pending_key(&p->to, rest, restlen, &key);
    mbentry_print_n(u->now, u->now->mtime, &val);
    if (!r) r = store(db, &key, &val);
    pending_key(&p->from, rest, restlen, &key);
    mbentry_print_n(u->left, u->left->mtime, &val);
    if (!r) r = store(db, &key, &val);
    buf_free(&key);
    buf_free(&val);
    return r;
}

static int move_one(struct txn_db *db, const struct pending *p, const char *rest, size_t restlen, bool with_header)
{
    static const struct buf nothing = BUF_INITIALIZER;
    struct buf key = BUF_INITIALIZER;
    struct unfollowed u;

    int r = pending_folder(db, p, rest, restlen, &u);
    if (r) return r == IMAP_NOTFOUND ? 0 : r;
    r = move_records(db, p, rest, restlen, &u);
    if (!r && !with_header && !(u.now->mbtype & MBTYPE_INTERMEDIATE)) {
        key_of(PENDING_HEADER, u.now->name, &key);
        r = store(db, &key, &nothing);
    }
    unfollowed_fini(&u);
    buf_free(&key);
    return r;
}

/* ---- all of them ---- */

struct collect {
    size_t skip; /* bytes of the prefix */
    ptrarray_t rests;
};

static int collect_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct collect *c = rock;
    struct buf *rest = xzmalloc(sizeof(*rest));

    (void)data, (void)datalen;
    buf_setmap(rest, key + c->skip, keylen - c->skip);
    ptrarray_append(&c->rests, rest);
    return 0;
}

static void free_buf(void *p)
{
    buf_destroy(p);
}

static int settle(struct txn *txn, struct txn_db *db, const struct pending *p)
{
    struct collect c = { buf_len(&p->from), PTRARRAY_INITIALIZER };
    char *user = mboxname_to_userid(p->newinbox);

    int r = txn_lock_user(txn, user);
    if (!r) r = txn_db_foreach(db, buf_base(&p->from), buf_len(&p->from), collect_cb, &c);
    for (int i = 0; !r && i < ptrarray_size(&c.rests); i++) {
        const struct buf *rest = ptrarray_nth(&c.rests, i);
        r = move_one(db, p, buf_base(rest), buf_len(rest), false);
    }
    if (!r) r = drop_rename(txn, db, p);
    ptrarray_fini_with(&c.rests, free_buf);
    free(user);
    return r;
}

int mboxlist_pending_settle(struct txn *txn, const char *inbox)
{
    struct txn_db *db = NULL;
    struct pending *list = NULL;

    int r = mboxlist_db_open(txn, &db);
    if (!r) r = pending_load(db, &list);
    for (const struct pending *p = list; p && !r; p = p->next)
        if (!strcmp(p->oldinbox, inbox) || !strcmp(p->newinbox, inbox)) r = settle(txn, db, p);
    pending_free(&list);
    mboxlist_db_close(&db);
    return r;
}

static int touch_left(struct txn *txn, struct txn_db *db, const struct pending *p, const struct buf *key, bool live)
{
    struct unfollowed u;
    int r = live ? 0 : pending_folder(db, p, key->s + buf_len(&p->from), key->len - buf_len(&p->from), &u);

    if (r) return r == IMAP_NOTFOUND ? 0 : r;
    if (!live) unfollowed_fini(&u);
    return settle(txn, db, p);
}

int mboxlist_pending_touch(struct txn *txn, struct txn_db *db, const char *name, bool live)
{
    struct buf key = BUF_INITIALIZER;
    struct pending *list;

    int r = pending_load(db, &list);
    if (r || !list) return r;
    mbentry_key_name(name, &key);
    const struct pending *p = pending_to(list, key.s, key.len);
    if (p) r = move_one(db, p, key.s + buf_len(&p->to), key.len - buf_len(&p->to), false);
    p = r ? NULL : pending_from(list, key.s, key.len);
    if (p) r = touch_left(txn, db, p, &key, live);
    pending_free(&list);
    buf_free(&key);
    return r;
}

/* ---- headers ---- */

/* Is the header of the mailbox that has this name one that has not followed? */
static int is_header_due(struct txn_db *db, const char *name, bool *due)
{
    struct buf key = BUF_INITIALIZER;
    struct pending *list;
    struct unfollowed u;

    int r = pending_load(db, &list);
    if (r) return r;
    mbentry_key_name(name, &key);
    const struct pending *p = pending_to(list, key.s, key.len);
    r = p ? pending_folder(db, p, key.s + buf_len(&p->to), key.len - buf_len(&p->to), &u) : IMAP_NOTFOUND;
    if (!r) unfollowed_fini(&u);
    if (r == IMAP_NOTFOUND) {
        key_of(PENDING_HEADER, name, &key);
        r = txn_db_fetch(db, buf_base(&key), buf_len(&key), NULL, NULL);
    }
    *due = !r;
    pending_free(&list);
    buf_free(&key);
    return r == IMAP_NOTFOUND ? 0 : r;
}

static void rename_root(struct mailbox_header *h, const char *name)
{
    char *olduser = mboxname_to_userid(h->name), *newuser = mboxname_to_userid(name);
    char *from = olduser ? mboxname_user_mbox(olduser, NULL) : NULL, *to = newuser ? mboxname_user_mbox(newuser, NULL) : NULL;

    if (from && to && h->quotaroot && mboxname_is_prefix(h->quotaroot, from)) {
        char *root = mboxname_renamed(h->quotaroot, from, to);
        free(h->quotaroot);
        h->quotaroot = root;
    }
    free(olduser);
    free(newuser);
    free(from);
    free(to);
}

static void rename_header(struct mailbox_header *h, const mbentry_t *entry)
{
    rename_root(h, entry->name);
    free(h->name);
    free(h->acl);
    h->name = xstrdup(entry->name);
    h->acl = xstrdupnull(entry->acl);
}

int mboxlist_pending_header(struct txn *txn, struct mailbox_header *h)
{
    struct txn_db *db = NULL;
    mbentry_t *entry = NULL;
    bool due = false;

    if (!h->name || !h->uniqueid || !mboxlist_pending_any(txn)) return 0;
    int r = mboxlist_db_open(txn, &db);
    if (!r) r = mboxlist_db_fetch_i(db, h->uniqueid, &entry);
    if (!r) r = is_header_due(db, entry->name, &due);
    if (due) rename_header(h, entry);
    mbentry_free(&entry);
    mboxlist_db_close(&db);
    return r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADFORMAT ? 0 : r;
}

/* ---- for who makes them follow ---- */

static int header_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    const size_t letters = strlen(PENDING_HEADER);
    mbname_t *mbname = mbname_from_dbkey(dbname_of(key + letters, keylen - letters));

    (void)data, (void)datalen;
    if (mbname && mbname_userid(mbname)) {
        char *inbox = mboxname_user_mbox(mbname_userid(mbname), NULL);
        if (inbox && !strarray_contains(rock, inbox)) strarray_append(rock, inbox);
        free(inbox);
    }
    mbname_free(&mbname);
    return 0;
}

int mboxlist_pending_users(strarray_t *inboxes)
{
    struct pending *list = NULL;
    struct txn_db *db = NULL;

    if (!mboxlist_pending_any(NULL)) return 0;
    int r = mboxlist_db_open(NULL, &db);
    if (!r) r = pending_load(db, &list);
    for (const struct pending *p = list; p; p = p->next) strarray_append(inboxes, p->newinbox);
    pending_free(&list);
    if (!r) r = txn_db_foreach(db, PENDING_HEADER, strlen(PENDING_HEADER), header_cb, inboxes);
    mboxlist_db_close(&db);
    return r;
}

static const struct pending *to_inbox(const struct pending *list, const char *inbox)
{
    while (list && strcmp(list->newinbox, inbox) != 0) list = list->next;
    return list;
}

/* Names behind `after`, of keys with this prefix that are left. */
struct next {
    struct txn_db *db;
    const struct pending *p; /* NULL: headers */
    const struct buf *prefix;
    size_t letters;
};

static int add_name(const struct next *n, const struct buf *at, strarray_t *names)
{
    struct unfollowed u;

    if (!n->p) {
        mbname_t *mbname = mbname_from_dbkey(dbname_of(at->s + n->letters, at->len - n->letters));
        if (mbname) strarray_append(names, mbname_intname(mbname));
        mbname_free(&mbname);
        return 0;
    }
    int r = pending_folder(n->db, n->p, at->s + buf_len(&n->p->from), at->len - buf_len(&n->p->from), &u);
    if (!r) {
        strarray_append(names, u.now->name);
        unfollowed_fini(&u);
    }
    return r == IMAP_NOTFOUND ? 0 : r;
}

static int collect_names(const struct next *n, unsigned max, struct buf *after, strarray_t *names)
{
    const char *key;
    size_t len;
    int r = 0;

    if (buf_len(after) < buf_len(n->prefix) || memcmp(buf_base(after), buf_base(n->prefix), buf_len(n->prefix)))
        buf_copy(after, n->prefix);
    while (!r && strarray_size(names) < (int)max) {
        r = txn_db_fetchnext(n->db, buf_base(after), buf_len(after), &key, &len, NULL, NULL);
        if (!r && (len < buf_len(n->prefix) || memcmp(key, buf_base(n->prefix), buf_len(n->prefix)))) r = IMAP_NOTFOUND;
        if (r) break;
        buf_setmap(after, key, len);
        r = add_name(n, after, names);
    }
    return r == IMAP_NOTFOUND ? 0 : r;
}

int mboxlist_pending_next(struct txn *txn, const char *inbox, unsigned max, struct buf *after, strarray_t *names)
{
    struct buf prefix = BUF_INITIALIZER;
    struct pending *list = NULL;
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(txn, &db);
    if (!r) r = pending_load(db, &list);
    if (!r) {
        const struct pending *p = to_inbox(list, inbox);
        key_of(PENDING_HEADER, inbox, &prefix);
        buf_putc(&prefix, DB_HIERSEP_CHAR);
        if (p) buf_copy(&prefix, &p->from);
        struct next next = { db, p, &prefix, strlen(PENDING_HEADER) };
        r = collect_names(&next, max, after, names);
    }
    pending_free(&list);
    mboxlist_db_close(&db);
    buf_free(&prefix);
    return r;
}

int mboxlist_pending_followed(struct txn *txn, const char *name, bool header)
{
    struct buf key = BUF_INITIALIZER;
    struct pending *list = NULL;
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(txn, &db);
    if (!r) r = pending_load(db, &list);
    mbentry_key_name(name, &key);
    const struct pending *p = r ? NULL : pending_to(list, key.s, key.len);
    if (p) r = move_one(db, p, key.s + buf_len(&p->to), key.len - buf_len(&p->to), header);
    key_of(PENDING_HEADER, name, &key);
    if (!r && header && !txn_db_fetch(db, buf_base(&key), buf_len(&key), NULL, NULL)) r = drop(txn, db, &key);
    pending_free(&list);
    mboxlist_db_close(&db);
    buf_free(&key);
    return r;
}

int mboxlist_pending_end(struct txn *txn, const char *inbox)
{
    strarray_t left = STRARRAY_INITIALIZER;
    struct buf after = BUF_INITIALIZER;
    struct pending *list = NULL;
    struct txn_db *db = NULL;

    int r = mboxlist_db_open(txn, &db);
    if (!r) r = pending_load(db, &list);
    const struct pending *p = r ? NULL : to_inbox(list, inbox);
    if (p) r = mboxlist_pending_next(txn, inbox, 1, &after, &left);
    if (!r && strarray_size(&left)) r = IMAP_AGAIN;
    if (!r && p) r = drop_rename(txn, db, p);
    pending_free(&list);
    mboxlist_db_close(&db);
    strarray_fini(&left);
    buf_free(&after);
    return r;
}
