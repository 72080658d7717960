/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * duplicate -- deliver.db: which message was delivered where (handbook 01 §7.7)
 *
 * The file is a memory that may be lost at any time, so reading errors only mean "not known".
 * Values are written as 3.6.1 writes them on 64-bit little-endian machines, whatever this machine
 * is. A mark travels with the delivery's transaction.
 */
#include <config.h>

#include "duplicate.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "names_config.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define VALUE_SIZE 16
#define PRUNE_BATCH 1024 /* marks removed in one transaction */

static int duplicate_open(struct txn *txn, struct txn_db **dbp)
{
    struct buf path = BUF_INITIALIZER;
    struct names_config cfg;
    const char *set = config_getstring(IMAPOPT_DUPLICATE_DB_PATH);

    names_config_get(&cfg);
    if (set)
        buf_setcstr(&path, set);
    else
        buf_printf(&path, "%s/deliver.db", cfg.configdirectory);
    int r = txn_db_open(txn, config_getstring(IMAPOPT_DUPLICATE_DB), buf_cstring(&path),
                        TXN_DB_CREATE | TXN_DB_GLOBAL | TXN_DB_DERIVED, dbp);
    buf_free(&path);
    return r;
}

static void key_print(const struct duplicate_key *key, struct buf *out)
{
    const char *const parts[] = { key->id, key->to, key->date };

    buf_reset(out);
    for (size_t i = 0; i < array_size(parts); i++) {
        if (parts[i]) buf_appendcstr(out, parts[i]);
        buf_putc(out, '\0');
    }
}

/* Pointers into base; false unless it is exactly three NUL-ended parts. */
static bool key_parse(const char *base, size_t len, struct duplicate_key *key)
{
    const char **const parts[] = { &key->id, &key->to, &key->date };
    const char *end = base + len;

    for (size_t i = 0; i < array_size(parts); i++) {
        const char *nul = memchr(base, '\0', (size_t)(end - base));
        if (!nul) return false;
        *parts[i] = base;
        base = nul + 1;
    }
    return base == end;
}

static void put_le64(char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (char)(v >> (8 * i));
}

static uint64_t get_le64(const char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = (v << 8) | (unsigned char)p[i];
    return v;
}

static bool value_parse(const char *val, size_t len, time_t *mark, uint64_t *uid)
{
    if (len != VALUE_SIZE) return false;
    *mark = (time_t)get_le64(val);
    *uid = get_le64(val + 8);
    return true;
}

bool duplicate_decode(const char *base, size_t len, const char *val, size_t vallen, struct duplicate_key *key,
                      time_t *mark, uint64_t *uid)
{
    return key_parse(base, len, key) && value_parse(val, vallen, mark, uid);
}

time_t duplicate_check(const struct duplicate_key *key)
{
    struct buf k = BUF_INITIALIZER;
    struct txn_db *db;
    const char *val;
    size_t len;
    time_t mark = 0;
    uint64_t uid;

    if (duplicate_open(txn_current(), &db)) return 0;
    key_print(key, &k);
    if (!txn_db_fetch(db, buf_base(&k), buf_len(&k), &val, &len) &&
        !value_parse(val, len, &mark, &uid))
        mark = 0;
    txn_db_close(&db);
    buf_free(&k);
    return mark;
}

int duplicate_mark(struct txn *txn, const struct duplicate_key *key, time_t mark, uint64_t uid)
{
    struct buf k = BUF_INITIALIZER;
    struct txn_db *db;
    char val[VALUE_SIZE];

    int r = duplicate_open(txn, &db);
    if (r) return r;
    put_le64(val, (uint64_t)mark);
    put_le64(val + 8, uid);
    key_print(key, &k);
    r = txn_db_store(db, buf_base(&k), buf_len(&k), val, sizeof(val));
    buf_free(&k);
    return r;
}

/* ---- all of them ---- */

struct foreach_rock {
    int (*cb)(const struct duplicate_key *, time_t mark, uint64_t uid, void *rock);
    void *rock;
};

static int foreach_cb(void *rock, const char *base, size_t len, const char *data, size_t datalen)
{
    struct foreach_rock *fr = rock;
    struct duplicate_key key;
    time_t mark;
    uint64_t uid;

    if (!key_parse(base, len, &key) || !value_parse(data, datalen, &mark, &uid)) return 0;
    return fr->cb(&key, mark, uid, fr->rock);
}

int duplicate_foreach(int (*cb)(const struct duplicate_key *, time_t mark, uint64_t uid,
                                void *rock),
                      void *rock)
{
    struct foreach_rock fr = { cb, rock };
    struct txn_db *db;

    int r = duplicate_open(NULL, &db);
    if (r) return r;
    r = txn_db_foreach(db, NULL, 0, foreach_cb, &fr);
    txn_db_close(&db);
    return r;
}

/* ---- pruning ---- */

struct prune_rock {
    time_t before;
    struct txn_db *db;
    size_t count;
};

/* Old marks, and keys and values that make no sense. */
static int prune_cb(void *rock, const char *base, size_t len, const char *data, size_t datalen)
{
    struct prune_rock *pr = rock;
    struct duplicate_key key;
    time_t mark;
    uint64_t uid;

    if (key_parse(base, len, &key) && value_parse(data, datalen, &mark, &uid) && mark >= pr->before)
        return 0;
    int r = txn_db_delete(pr->db, base, len);
    if (!r && ++pr->count == PRUNE_BATCH) r = IMAP_AGAIN;
    return r;
}

int duplicate_prune(time_t before, size_t *countp)
{
    size_t count = 0;
    bool more = true;
    int r = 0;

    while (!r && more) {
        struct prune_rock pr = { .before = before };
        struct txn *txn;
        r = txn_begin(&txn);
        if (r) break;
        r = duplicate_open(txn, &pr.db);
        if (!r) r = txn_db_foreach(pr.db, NULL, 0, prune_cb, &pr);
        more = r == IMAP_AGAIN;
        if (more) r = 0;
        if (!r) r = txn_commit(&txn, NULL);
        txn_abort(&txn);
        if (!r) count += pr.count;
    }
    if (countp) *countp = count;
    return r;
}
