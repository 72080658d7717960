/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_db_commit -- databases at the commit of a transaction: their locks, their part of the record
 *
 * See txn.h and doc/journal.md §7. A global database that can be cut back to a mark is applied early:
 * its lock is given back before the log is synced. All others are late.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diskio.h"
#include "imap_err.h"
#include "journal_db.h"
#include "txn_db_internal.h"
#include "util.h"
#include "xmalloc.h"

/* Longer keys share a lock. */
#define KEY_IN_LOCKNAME 180

/* ---- locks ---- */

static int cmp_lockname(const void *a, const void *b)
{
    const struct txn_db *x = *(struct txn_db *const *)a, *y = *(struct txn_db *const *)b;
    return strcmp(x->lockname, y->lockname);
}

/* In the order of the keys: bytes below '0' are #XX, those from '~' on ~XX. */
static void keylock_name(const struct txn_db *db, const char *key, size_t keylen, struct buf *name)
{
    buf_setcstr(name, db->lockname);
    size_t max = name->len + KEY_IN_LOCKNAME;
    for (size_t i = 0; i < keylen && name->len < max; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c < '0')
            buf_printf(name, "#%02X", c);
        else if (c >= '~')
            buf_printf(name, "~%02X", c);
        else
            buf_putc(name, (char)c);
    }
}

static int lock_key(struct txn_db *db, const char *key, size_t keylen)
{
    struct buf name = BUF_INITIALIZER;
    struct namelock *lock;

    keylock_name(db, key, keylen, &name);
    for (int i = 0; i < ptrarray_size(&db->keylocks); i++) {
        if (strcmp(namelock_name(ptrarray_nth(&db->keylocks, i)), buf_cstring(&name))) continue;
        buf_free(&name);
        return 0;
    }
    int r = namelock_acquire(buf_cstring(&name), NAMELOCK_EXCLUSIVE, 0, &lock);
    if (!r) ptrarray_append(&db->keylocks, lock);
    buf_free(&name);
    return r;
}

static int lock_staged_keys(struct txn_db *db)
{
    int r = 0;
    if (!db->staged.head) return 0;
    for (const struct kvmap_node *node = kvmap_first(&db->staged); !r && node; node = node->next[0])
        r = lock_key(db, node->key, node->keylen);
    return r;
}

int txn_db_lock_globals(struct txn *txn)
{
    ptrarray_t dbs = PTRARRAY_INITIALIZER;
    int r = 0;

    txn->globals_locked = true;
    for (struct txn_db *db = txn->dbs; db; db = db->next) {
        if (db->lock || !(db->flags & TXN_DB_GLOBAL)) continue;
        if (txn_db_is_staged(db) || (db->flags & TXN_DB_RMW)) ptrarray_append(&dbs, db);
    }
    ptrarray_sort(&dbs, cmp_lockname);
    for (int i = 0; !r && i < ptrarray_size(&dbs); i++) {
        struct txn_db *db = ptrarray_nth(&dbs, i);
        if (db->perkey)
            r = lock_staged_keys(db);
        else
            r = namelock_acquire(db->lockname, NAMELOCK_EXCLUSIVE, 0, &db->lock);
        if (!r && !db->perkey) r = txn_db_settle_locked(db);
    }
    ptrarray_fini(&dbs);
    return r;
}

int txn_db_lock_key(struct txn_db *db, const char *key, size_t keylen)
{
    return db->perkey && db->txn ? lock_key(db, key, keylen) : 0;
}

bool txn_db_is_locked(const struct txn_db *db)
{
    return db->lock || ptrarray_size(&db->keylocks);
}

static void unlock(struct txn_db *db)
{
    namelock_release(&db->lock);
    for (int i = ptrarray_size(&db->keylocks) - 1; i >= 0; i--) {
        struct namelock *lock = ptrarray_nth(&db->keylocks, i);
        namelock_release(&lock);
    }
    ptrarray_fini(&db->keylocks);
}

void txn_db_unlock_early(struct txn *txn)
{
    for (struct txn_db *db = txn->dbs; db; db = db->next) {
        if (db->op.flags & JOURNAL_DB_EARLY) unlock(db);
    }
}

void txn_db_unlock_globals(struct txn *txn)
{
    for (struct txn_db *db = txn->dbs; db; db = db->next) unlock(db);
}

uint64_t txn_db_seen_lsn(const struct txn_db *db)
{
    struct journal *j;
    if (!db->lockname || db->perkey) return 0;
    return txn_journal(&j) ? 0 : journal_lock_lsn(j, db->lockname);
}

/* ---- the record ---- */

bool txn_db_isdirty(const struct txn *txn)
{
    for (const struct txn_db *db = txn->dbs; db; db = db->next) {
        if (txn_db_is_staged(db)) return true;
    }
    return false;
}

/* What the file is now, under its lock, decides how the change is recorded. */
static int prepare(struct txn_db *db)
{
    struct cyrusdb_mark mark;

    db->op = (struct journal_op){ .kind = JOURNAL_OP_DB, .path = db->path, .path2 = db->backend };
    db->skip = db->removed;
    int r = db->removed ? 0 : txn_db_open_file(db);
    if (r == IMAP_MAILBOX_BADFORMAT && (db->flags & TXN_DB_DERIVED))
        r = journal_db_set_aside(db->path) ? IMAP_IOERROR : 0;
    if (r || db->removed) return r;
    if (db->flags & TXN_DB_DERIVED) db->op.flags |= JOURNAL_DB_DERIVED;
    if (db->keeps_seal) db->op.flags |= JOURNAL_DB_SEALED;
    if (db->db) {
        struct stat st;
        r = cyrusdb_get_mark(db->db, &mark);
        if (r == CYRUSDB_NOTFOUND && diskio_stat(db->path, &st)) txn_db_close_file(db);
        else if (r && r != CYRUSDB_NOTIMPLEMENTED) return txn_db_error(r);
    }
    if (db->flags & TXN_DB_CREATE) db->op.flags |= JOURNAL_DB_CREATE;
    if (!db->db) {
        db->skip = !(db->flags & TXN_DB_CREATE);
        db->op.flags |= JOURNAL_DB_ABSENT;
        if (!cyrusdb_backend_has_marks(db->backend)) db->op.flags |= JOURNAL_DB_NOMARK;
    }
    else {
        const char *is = cyrusdb_backend(db->db);
        bool other = strcmp(is, db->backend);
        if (other && ((db->flags & TXN_DB_CONVERT) || !strcmp(is, "skiplist"))) {
            db->op.flags |= JOURNAL_DB_CONVERT | JOURNAL_DB_NOMARK;
        }
        else {
            if (other) db->op.path2 = is;
            if (!cyrusdb_has_marks(db->db)) db->op.flags |= JOURNAL_DB_NOMARK;
        }
        if (!(db->op.flags & JOURNAL_DB_NOMARK)) {
            db->op.off = mark.end;
            db->op.number = mark.generation;
        }
    }
    if ((db->flags & TXN_DB_GLOBAL) && !(db->op.flags & JOURNAL_DB_NOMARK)) db->op.flags |= JOURNAL_DB_EARLY;
    return 0;
}

void txn_db_remove(struct txn *txn, const char *path)
{
    for (struct txn_db *db = txn->dbs; db; db = db->next) {
        if (!strcmp(db->path, path)) db->removed = true;
    }
    txn_unlink(txn, path);
}

static void record_locks(struct txn_db *db, bool early)
{
    struct journal_record *rec = &db->txn->rec;
    bool is_early = db->op.flags & JOURNAL_DB_EARLY;

    if (!txn_db_is_staged(db) || is_early != early) return;
    if (db->lock) db->op.lock = journal_record_lock(rec, namelock_name(db->lock), early);
    for (int i = 0; i < ptrarray_size(&db->keylocks); i++)
        journal_record_lock(rec, namelock_name(ptrarray_nth(&db->keylocks, i)), false);
}

void txn_db_record_locks(struct txn *txn)
{
    int r = 0;
    for (struct txn_db *db = txn->dbs; db; db = db->next) txn_db_unsettle(db);
    for (struct txn_db *db = txn->dbs; !r && db; db = db->next) {
        /* Only read: whoever else wants it must not wait for our sync. */
        if (!txn_db_is_staged(db))
            unlock(db);
        else if (db->perkey && (r = lock_staged_keys(db)))
            txn->error = r;
        else if ((db->flags & TXN_DB_GLOBAL) && !db->perkey && !db->lock)
            txn_misuse(txn, "a global database is changed so late that its lock was not taken", db->path);
        else if ((r = prepare(db)))
            txn->error = r;
    }
    /* Early ones first: the journal keeps what is done of them by number. */
    for (struct txn_db *db = txn->dbs; db; db = db->next) record_locks(db, true);
    for (struct txn_db *db = txn->dbs; db; db = db->next) record_locks(db, false);
}

static void record_changes(struct txn_db *db)
{
    journal_record_op(&db->txn->rec, &db->op);
    for (const struct kvmap_node *node = kvmap_first(&db->staged); node; node = node->next[0]) {
        struct journal_op op = { .kind = node->data ? JOURNAL_OP_KVSET : JOURNAL_OP_KVDEL,
                                 .key = node->key, .keylen = node->keylen,
                                 .data = node->data, .datalen = node->datalen };
        journal_record_op(&db->txn->rec, &op);
    }
}

int txn_db_record_changes(struct txn *txn)
{
    if (txn->error) return txn->error;
    for (struct txn_db *db = txn->dbs; db; db = db->next) {
        if (txn_db_is_staged(db) && !db->skip) record_changes(db);
    }
    return 0;
}

/* ---- afterwards ---- */

/*
 * A repack makes all that the file has durable, so of a global database all of that must be durable in
 * the log before. If somebody else is at it, he will find that it is due.
 */
static void repack(struct txn_db *db)
{
    struct namelock *lock = NULL;

    if (!db->db || !cyrusdb_repack_due(db->db)) return;
    if (db->lockname) {
        if (namelock_acquire(db->lockname, NAMELOCK_EXCLUSIVE, NAMELOCK_NONBLOCK, &lock)) return;
        if (!txn_wait(namelock_seen_lsn(lock))) txn_db_repack_sealed(db);
        namelock_release(&lock);
        return;
    }
    cyrusdb_repack(db->db);
}

void txn_db_finish(struct txn *txn)
{
    for (struct txn_db *db = txn->dbs; db; db = db->next) {
        if (txn->appended && txn_db_is_staged(db)) repack(db);
        unlock(db);
        txn_db_release(db);
    }
}

void txn_db_forget(struct txn *txn)
{
    struct txn_db *db, *next;

    for (db = txn->dbs; db; db = next) {
        next = db->next;
        free(db);
    }
    txn->dbs = NULL;
}
