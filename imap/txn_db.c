/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_db -- key-value databases in a transaction: reading and staging
 *
 * See txn.h. Changes are kept in memory, in the order of the database, and laid over what the file has:
 * an aborted transaction has never touched it. A file that is missing reads as empty, and is looked for
 * again at each call, since another process may make it. Files stay open in the process after the last
 * handle is gone (CYRUSDB_KEEP).
 *
 * Errors are imap_err codes; lib/cyrusdb*.c logs the cause.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "txn_db_internal.h"
#include "util.h"
#include "xmalloc.h"

/* Handles for reading: fcntl locks are the process's, so these are too. */
static struct txn_db *readers;

int txn_db_error(int r)
{
    switch (r) {
    case CYRUSDB_OK:
        return 0;
    case CYRUSDB_NOTFOUND:
        return IMAP_NOTFOUND;
    case CYRUSDB_BADFORMAT:
        return IMAP_MAILBOX_BADFORMAT;
    case CYRUSDB_FULL:
        return IMAP_NOSPACE;
    default:
        return IMAP_IOERROR;
    }
}

/* ---- open and close ---- */

int txn_db_open_file(struct txn_db *db)
{
    if (db->db || db->settled) return 0;
    int r = cyrusdb_open(db->backend, db->path, CYRUSDB_NOCOMPACT | CYRUSDB_KEEP, &db->db);
    return r == CYRUSDB_NOTFOUND ? 0 : txn_db_error(r);
}

static bool is_dispensable(const struct txn_db *db, int r)
{
    return r == IMAP_MAILBOX_BADFORMAT && (db->flags & TXN_DB_DERIVED);
}

static int settle_file(struct txn_db *db)
{
    if (db->settled) return 0;
    int r = db->db ? txn_db_error(cyrusdb_freeze(db->db)) : 0;
    if (r == IMAP_NOTFOUND) txn_db_close_file(db), r = 0; /* removed since it was opened */
    if (!r) db->settled = true;
    return r;
}

/*
 * What is staged is covered by a lock that the transaction holds exclusively (the rule of txn.h), but for global
 * databases, whose lock the commit takes: so nobody changes the file under us, and reading it needs no system call.
 */
static int settle(struct txn_db *db)
{
    return db->flags & TXN_DB_GLOBAL ? 0 : settle_file(db);
}

int txn_db_settle_locked(struct txn_db *db)
{
    int r = txn_db_open_file(db);

    if (!r) r = settle_file(db);
    return is_dispensable(db, r) ? 0 : r;
}

void txn_db_unsettle(struct txn_db *db)
{
    if (db->settled && db->db) cyrusdb_thaw(db->db);
    db->settled = false;
}

void txn_db_close_file(struct txn_db *db)
{
    txn_db_unsettle(db);
    cyrusdb_close(db->db);
    db->db = NULL;
}

void txn_db_release(struct txn_db *db)
{
    txn_db_close_file(db);
    if (db->staged.head) kvmap_fini(&db->staged);
    ptrarray_fini(&db->keylocks);
    free(db->path);
    free(db->backend);
    free(db->lockname);
}

static void txn_db_free(struct txn_db *db)
{
    txn_db_release(db);
    free(db);
}

/*
 * What the server makes: a commit of a skiplist file would cost the whole of it. 3.6.1 reads a twoskip file that
 * it is configured to be a skiplist (handbook 01 §1.8).
 */
static const char *backend_made(const char *backend)
{
    return strcmp(backend, "skiplist") ? backend : "twoskip";
}

/* "$DB$mailboxes.db"; the locks of keys sort behind all others: "$DB$~quotas.db~". */
static char *make_lockname(const char *path, bool perkey)
{
    const char *slash = strrchr(path, '/');
    char *name = xasprintf(perkey ? "$DB$~%s~" : "$DB$%s", slash ? slash + 1 : path);
    for (char *p = name + 4; *p; p++) {
        bool dot = *p == '.' && cyr_isalnum(p[-1]) && cyr_isalnum(p[1]);
        if (!cyr_isalnum(*p) && !dot && !strchr("-_~", *p)) *p = '_';
    }
    return name;
}

static struct txn_db *new_handle(struct txn *txn, const char *backend, const char *path, unsigned flags)
{
    struct txn_db *db = xzmalloc(sizeof(*db));
    db->txn = txn;
    db->refs = 1;
    db->path = xstrdup(path);
    db->backend = xstrdup(backend_made(backend));
    db->flags = flags;
    db->perkey = (flags & TXN_DB_GLOBAL) && !strcmp(backend, "quotalegacy");
    if (flags & TXN_DB_GLOBAL) db->lockname = make_lockname(path, db->perkey);
    ptrarray_init(&db->keylocks);
    return db;
}

int txn_db_open(struct txn *txn, const char *backend, const char *path, unsigned flags, struct txn_db **dbp)
{
    struct txn_db **list = txn ? &txn->dbs : &readers, *db;
    struct journal *j;

    *dbp = NULL;
    /* Before the first look at a file: whoever comes first after a stop of the machine recovers all of them. */
    int r = txn_journal(&j);
    if (r) return r;
    db = *list;
    while (db && strcmp(db->path, path)) db = db->next;
    if (db) {
        if (!txn) db->refs++;
        db->flags |= flags;
        if ((db->flags & TXN_DB_GLOBAL) && !db->lockname) db->lockname = make_lockname(path, db->perkey);
        *dbp = db;
        return 0;
    }
    db = new_handle(txn, backend, path, flags);
    r = txn_db_open_file(db);
    if (is_dispensable(db, r)) r = 0; /* looked at again when it is read, or at the commit */
    if (!r && txn && (flags & TXN_DB_COVERED)) r = settle(db);
    if (r) {
        txn_db_free(db);
        return r;
    }
    db->next = *list;
    *list = *dbp = db;
    return 0;
}

void txn_db_close(struct txn_db **dbp)
{
    struct txn_db *db = *dbp, **p = &readers;
    *dbp = NULL;
    if (!db || db->txn || --db->refs) return;
    while (*p && *p != db) p = &(*p)->next;
    if (*p) *p = db->next;
    txn_db_free(db);
}

struct txn_db *txn_db_scratch(const char *backend)
{
    struct txn_db *db = new_handle(NULL, backend, "(memory)", TXN_DB_CREATE);

    db->scratch = db->settled = true;
    return db;
}

const char *txn_db_path(const struct txn_db *db)
{
    return db->path;
}

/* ---- reading ---- */

static const struct kvmap_node *find_staged(const struct txn_db *db, const char *key, size_t keylen)
{
    return db->staged.head ? kvmap_find(&db->staged, key, keylen) : NULL;
}

int txn_db_fetch_committed(struct txn_db *db, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    *data = NULL;
    *datalen = 0;
    int r = txn_db_open_file(db);
    if (r) return r;
    return db->db ? txn_db_error(cyrusdb_fetch(db->db, key, keylen, data, datalen)) : IMAP_NOTFOUND;
}

int txn_db_fetch(struct txn_db *db, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    const char *d = NULL;
    size_t n = 0;

    const struct kvmap_node *node = find_staged(db, key, keylen);
    int r = 0;
    if (node) {
        d = node->data;
        n = node->datalen;
        if (!d) r = IMAP_NOTFOUND;
    }
    else {
        r = txn_db_open_file(db);
        if (!r) r = db->db ? txn_db_error(cyrusdb_fetch(db->db, key, keylen, &d, &n)) : IMAP_NOTFOUND;
    }
    if (r) d = NULL, n = 0;
    if (data) *data = d;
    if (datalen) *datalen = n;
    return r;
}

int txn_db_fetchnext(struct txn_db *db, const char *key, size_t keylen, const char **foundkey, size_t *foundkeylen,
                     const char **data, size_t *datalen)
{
    struct buf at = BUF_INITIALIZER;
    const char *d = NULL;
    size_t n = 0;

    int r = txn_db_open_file(db);
    buf_setmap(&at, key, keylen);
    while (!r) {
        const struct kvmap_node *node = db->staged.head ? kvmap_seek(&db->staged, buf_cstring(&at), at.len, true) : NULL;
        int base = db->db ? cyrusdb_fetchnext(db->db, at.s, at.len, foundkey, foundkeylen, &d, &n) : CYRUSDB_NOTFOUND;
        if (base && base != CYRUSDB_NOTFOUND) r = txn_db_error(base);
        if (r) break;
        bool staged = node && (base || db->staged.cmp(node->key, node->keylen, *foundkey, *foundkeylen) <= 0);
        if (!staged) {
            r = txn_db_error(base);
            break;
        }
        *foundkey = node->key;
        *foundkeylen = node->keylen;
        d = node->data;
        n = node->datalen;
        if (d) break;
        buf_setmap(&at, node->key, node->keylen); /* removed: what comes behind it? */
    }
    buf_free(&at);
    if (data) *data = r ? NULL : d;
    if (datalen) *datalen = r ? 0 : n;
    return r;
}

/* An iteration: staged keys are handed out between those of the file. */
struct each {
    struct txn_db *db;
    const char *prefix;
    size_t prefixlen;
    txn_db_cb *cb;
    void *rock;
    struct buf last; /* key handed out or stepped over last */
    bool begun;
    struct buf value;
    int r; /* of the callback: not a CYRUSDB code */
};

static void step_to(struct each *each, const char *key, size_t keylen)
{
    buf_setmap(&each->last, key, keylen);
    each->begun = true;
}

static int give_staged(struct each *each, const struct kvmap_node *node)
{
    step_to(each, node->key, node->keylen);
    if (!node->data) return 0;
    /* A copy: the callback may set the value anew. */
    buf_setmap(&each->value, node->data, node->datalen);
    each->r = each->cb(each->rock, node->key, node->keylen, buf_cstring(&each->value), each->value.len);
    return each->r ? CYRUSDB_DONE : 0;
}

/* All staged keys behind the last one and up to `key` (NULL: all); *met: it was among them. */
static int give_staged_until(struct each *each, const char *key, size_t keylen, bool *met)
{
    const struct txn_db *db = each->db;
    int r = 0;

    *met = false;
    while (!r && db->staged.head) {
        const struct kvmap_node *node =
            each->begun ? kvmap_seek(&db->staged, each->last.s, each->last.len, true)
                        : kvmap_seek(&db->staged, each->prefix, each->prefixlen, false);
        if (!node || node->keylen < each->prefixlen || memcmp(node->key, each->prefix, each->prefixlen)) break;
        int c = key ? db->staged.cmp(node->key, node->keylen, key, keylen) : -1;
        if (c > 0) break;
        *met = !c;
        r = give_staged(each, node);
        if (!c) break;
    }
    return r;
}

static int each_base(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct each *each = rock;
    bool met;

    int r = give_staged_until(each, key, keylen, &met);
    if (r || met) return r;
    step_to(each, key, keylen);
    each->r = each->cb(each->rock, key, keylen, data, datalen);
    return each->r ? CYRUSDB_DONE : 0;
}

int txn_db_foreach(struct txn_db *db, const char *prefix, size_t prefixlen, txn_db_cb *cb, void *rock)
{
    struct each each = { .db = db, .prefix = prefix ? prefix : "", .prefixlen = prefixlen, .cb = cb, .rock = rock };
    bool met;

    int r = txn_db_open_file(db);
    if (r) return r;
    if (db->db) r = cyrusdb_foreach(db->db, each.prefix, prefixlen, each_base, &each);
    if (!r) r = give_staged_until(&each, NULL, 0, &met);
    buf_free(&each.last);
    buf_free(&each.value);
    return each.r ? each.r : txn_db_error(r);
}

/* ---- staging ---- */

static int stage(struct txn_db *db, const char *key, size_t keylen, const char *data, size_t datalen)
{
    if ((!db->txn && !db->scratch) || !keylen) {
        if (db->txn) txn_misuse(db->txn, "empty key", db->path);
        return IMAP_INTERNAL;
    }
    int r = txn_db_open_file(db);
    if (is_dispensable(db, r)) r = 0;
    if (!r) r = settle(db);
    if (r) return r;
    if (!db->db && data && !(db->flags & TXN_DB_CREATE)) return IMAP_NOTFOUND;
    if (!db->staged.head)
        kvmap_init(&db->staged, db->db ? cyrusdb_db_order(db->db) : cyrusdb_order(db->backend, 0), false);
    kvmap_set(&db->staged, key, keylen, data, datalen);
    return 0;
}

int txn_db_store(struct txn_db *db, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return stage(db, key, keylen, data ? data : "", datalen);
}

int txn_db_delete(struct txn_db *db, const char *key, size_t keylen)
{
    return stage(db, key, keylen, NULL, 0);
}
