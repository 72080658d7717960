/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb -- the front of all key-value files
 *
 * See the header. This file knows the backends as tables, keeps the list of open files
 * of the process (one handle a path, because fcntl locks belong to the process), finds out
 * what a file is, and converts. Durability is the backends'.
 */
#include <config.h>

#include "cyrusdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cyrusdb_backend.h"
#include "diskio.h"
#include "exitcodes.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Files that stay open though nobody uses them. */
#define MAX_IDLE 64u

struct db {
    struct db *next; /* last used first */
    char *fname;
    const struct cyrusdb_backend *be;
    void *priv;
    unsigned flags, refs;
    bool intxn, changed, frozen;
};

static const struct cyrusdb_backend *const backends[] = { &cyrusdb_flat, &cyrusdb_skiplist, &cyrusdb_quotalegacy,
                                                          &cyrusdb_twoskip };
static struct db *open_dbs;

/* ---- codes and names ---- */

const char *cyrusdb_strerror(int r)
{
    static const char *const texts[] = {
        "not an error", "IO error", "again",  "item exists",          "internal error",     "item not found",
        "locked",       "action not implemented", "no space available", "database is readonly", "bad format",
    };
    if (r == CYRUSDB_DONE) return "done";
    return r <= 0 && -r < (int)array_size(texts) ? texts[-r] : "unknown error";
}

int cyrusdb_error(int r)
{
    switch (r) {
    case 0:
        return CYRUSDB_OK;
    case -ENOENT:
        return CYRUSDB_NOTFOUND;
    case -ENOSPC:
    case -EDQUOT:
        return CYRUSDB_FULL;
    case -EBADMSG:
    case -ENODATA:
        return CYRUSDB_BADFORMAT;
    default:
        return CYRUSDB_IOERROR;
    }
}

static const struct cyrusdb_backend *find_backend(const char *name)
{
    for (size_t i = 0; i < array_size(backends); i++) {
        if (!strcmp(backends[i]->name, name)) return backends[i];
    }
    return NULL;
}

static const struct cyrusdb_backend *need_backend(const char *name)
{
    const struct cyrusdb_backend *be = find_backend(name);
    if (be) return be;
    char *text = xasprintf("cyrusdb backend %s not supported", name);
    fatal(text, EX_CONFIG);
}

int cyrusdb_check_backend(const char *backend)
{
    return find_backend(backend) ? 0 : CYRUSDB_NOTIMPLEMENTED;
}

const char *cyrusdb_backend_name(unsigned i)
{
    return i < array_size(backends) ? backends[i]->name : NULL;
}

const char *cyrusdb_detect(const char *fname)
{
    static const struct {
        char magic[17];
        const char *backend;
    } magics[] = { { "\241\002\213\015skiplist fil", "skiplist" }, { "\241\002\213\015twoskip file", "twoskip" } };
    char head[32];

    int fd = diskio_open(fname, O_RDONLY, 0);
    if (fd < 0) return NULL;
    int r = diskio_pread_full(fd, head, sizeof(head), 0);
    diskio_close(fd);
    for (size_t i = 0; !r && i < array_size(magics); i++) {
        if (!memcmp(head, magics[i].magic, 16)) return magics[i].backend;
    }
    return NULL;
}

/* ---- order ---- */

int cyrusdb_cmp_raw(const char *a, size_t alen, const char *b, size_t blen)
{
    return memcmp_len(a, alen, b, blen);
}

static unsigned mbox_rank(char c)
{
    unsigned char u = (unsigned char)c;
    if (u >= 1 && u <= 8) return u + 2u;
    if (u == '\t' || u == '\n') return 1;
    return u == '.' ? 2 : u;
}

int cyrusdb_cmp_mbox(const char *a, size_t alen, const char *b, size_t blen)
{
    for (size_t i = 0; i < alen && i < blen; i++) {
        unsigned ra = mbox_rank(a[i]), rb = mbox_rank(b[i]);
        if (ra != rb) return ra < rb ? -1 : 1;
    }
    return alen == blen ? 0 : alen < blen ? -1 : 1;
}

cyrusdb_cmp *cyrusdb_order(const char *backend, unsigned flags)
{
    return need_backend(backend)->order(flags);
}

cyrusdb_cmp *cyrusdb_db_order(const struct db *db)
{
    return db->be->order(db->flags);
}

int cyrusdb_compar(const struct db *db, const char *a, size_t alen, const char *b, size_t blen)
{
    return cyrusdb_db_order(db)(a, alen, b, blen);
}

/* ---- open and close ---- */

static void really_close(struct db *db)
{
    struct db **p = &open_dbs;
    while (*p && *p != db) p = &(*p)->next;
    if (*p) *p = db->next;
    db->be->close(db->priv);
    free(db->fname);
    free(db);
}

/* A handle of that path; one that nobody uses is given only while the path still names its file. */
static struct db *find_open(const char *fname)
{
    struct db *db = open_dbs;
    while (db && strcmp(db->fname, fname)) db = db->next;
    if (!db || db->refs) return db;

    struct stat st;
    if (db->be->is_current && !diskio_stat(fname, &st) && db->be->is_current(db->priv, &st)) return db;
    really_close(db);
    return NULL;
}

static struct db *new_handle(const struct cyrusdb_backend *be, const char *fname, unsigned flags, void *priv)
{
    struct db *db = xzmalloc(sizeof(*db));
    db->fname = xstrdup(fname);
    db->be = be;
    db->priv = priv;
    db->flags = flags;
    db->refs = 1;
    db->next = open_dbs;
    open_dbs = db;
    return db;
}

/* The file is not what was asked for: what is it, and what is to be done? */
static int open_other(const struct cyrusdb_backend **bep, const char *fname, unsigned flags, void **privp, int r)
{
    const struct cyrusdb_backend *be = *bep;
    const char *found = cyrusdb_detect(fname);

    if (!found || !strcmp(found, be->name)) {
        if (!found)
            xsyslog_errno(LOG_ERR, 0, "DBERROR: failed to detect DB type", "fname=<%s> backend=<%s> r=<%d>", fname,
                          be->name, r);
        return r;
    }
    if (flags & CYRUSDB_CONVERT) {
        r = cyrusdb_convert(fname, found, be->name, flags);
        return r ? r : be->open(fname, flags, privp);
    }
    *bep = find_backend(found);
    r = (*bep)->open(fname, flags, privp);
    if (!r) syslog(LOG_NOTICE, "cyrusdb: opening %s with backend %s (requested %s)", fname, found, be->name);
    return r;
}

/* A file that is open in this process gets the new one under its handle. */
static int convert_open(struct db *db, const struct cyrusdb_backend *be)
{
    void *priv;
    int r = cyrusdb_convert(db->fname, db->be->name, be->name, db->flags);
    if (!r) r = be->open(db->fname, db->flags & ~CYRUSDB_CREATE, &priv);
    if (r) return r;
    db->be->close(db->priv);
    db->be = be;
    db->priv = priv;
    return 0;
}

int cyrusdb_open(const char *backend, const char *fname, unsigned flags, struct db **dbp)
{
    const struct cyrusdb_backend *be = need_backend(backend);
    void *priv = NULL;

    *dbp = NULL;
    if ((flags & CYRUSDB_SHARED) && (flags & CYRUSDB_CONVERT)) return CYRUSDB_INTERNAL;
    struct db *db = find_open(fname);
    if (db) {
        if (db->intxn) return CYRUSDB_LOCKED;
        if ((flags & CYRUSDB_CONVERT) && db->be != be) {
            if (db->frozen) return CYRUSDB_LOCKED;
            int r = convert_open(db, be);
            if (r) return r;
        }
        db->refs++;
        *dbp = db;
        return 0;
    }
    int r = be->open(fname, flags, &priv);
    if (r == CYRUSDB_BADFORMAT) r = open_other(&be, fname, flags, &priv, r);
    if (!r) *dbp = new_handle(be, fname, flags, priv);
    return r;
}

int cyrusdb_begin_anew(const char *fname)
{
    struct db *db = find_open(fname);
    void *priv;

    if (!db) return 0;
    if (db->intxn || db->frozen) return CYRUSDB_LOCKED;
    int r = db->be->open(fname, db->flags | CYRUSDB_CREATE, &priv);
    if (r) return r;
    db->be->close(db->priv);
    db->priv = priv;
    return 0;
}

static void trim_idle(void)
{
    unsigned idle = 0;
    struct db *db, *next;
    for (db = open_dbs; db; db = next) {
        next = db->next;
        if (!db->refs && ++idle > MAX_IDLE) really_close(db);
    }
}

/* To the front of the list, as the one used last. */
static void touch(struct db *db)
{
    struct db **p = &open_dbs;
    while (*p && *p != db) p = &(*p)->next;
    if (*p) *p = db->next;
    db->next = open_dbs;
    open_dbs = db;
}

int cyrusdb_close(struct db *db)
{
    int r = 0;
    if (!db || --db->refs) return 0;

    cyrusdb_abort(db);
    if (db->changed && !(db->flags & CYRUSDB_NOCOMPACT) && cyrusdb_repack_due(db)) r = cyrusdb_repack(db);
    db->changed = false;
    if ((db->flags & CYRUSDB_KEEP) && db->be->is_current && !r) {
        touch(db);
        trim_idle();
        return 0;
    }
    really_close(db);
    return r;
}

void cyrusdb_done(void)
{
    struct db *db, *next;
    for (db = open_dbs; db; db = next) {
        next = db->next;
        if (!db->refs) really_close(db);
    }
}

const char *cyrusdb_fname(const struct db *db)
{
    return db->fname;
}

const char *cyrusdb_backend(const struct db *db)
{
    return db->be->name;
}

/* ---- reading ---- */

int cyrusdb_fetch(struct db *db, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    const char *d;
    size_t n;
    if (!keylen) return CYRUSDB_NOTFOUND;
    int r = db->be->fetch(db->priv, key, keylen, &d, &n);
    if (data) *data = r ? NULL : d;
    if (datalen) *datalen = r ? 0 : n;
    return r;
}

int cyrusdb_fetchnext(struct db *db, const char *key, size_t keylen, const char **foundkey, size_t *foundkeylen,
                      const char **data, size_t *datalen)
{
    return db->be->seek(db->priv, key, keylen, true, foundkey, foundkeylen, data, datalen);
}

static int foreach_by_seek(struct db *db, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *rock)
{
    struct buf key = BUF_INITIALIZER, value = BUF_INITIALIZER;
    const char *k, *d;
    size_t klen, dlen;
    int r;

    buf_setmap(&key, prefix, prefixlen);
    for (bool after = false;; after = true) {
        r = db->be->seek(db->priv, key.s, key.len, after, &k, &klen, &d, &dlen);
        if (r) break;
        if (klen < prefixlen || memcmp(k, prefix, prefixlen)) break;
        buf_setmap(&key, k, klen);
        buf_setmap(&value, d, dlen);
        r = cb(rock, buf_cstring(&key), key.len, buf_cstring(&value), value.len);
        if (r) goto done;
    }
    if (r == CYRUSDB_NOTFOUND) r = 0;
done:
    buf_free(&key);
    buf_free(&value);
    return r;
}

int cyrusdb_foreach(struct db *db, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *rock)
{
    if (db->be->foreach) return db->be->foreach(db->priv, prefix, prefixlen, cb, rock);
    return foreach_by_seek(db, prefix, prefixlen, cb, rock);
}

int cyrusdb_freeze(struct db *db)
{
    if (db->intxn) return CYRUSDB_LOCKED;
    int r = db->frozen || !db->be->freeze ? 0 : db->be->freeze(db->priv, true);
    if (!r) db->frozen = true;
    return r;
}

void cyrusdb_thaw(struct db *db)
{
    if (db->frozen && db->be->freeze) db->be->freeze(db->priv, false);
    db->frozen = false;
}

/* ---- changing ---- */

int cyrusdb_begin(struct db *db, unsigned flags)
{
    if (db->intxn || db->frozen) return CYRUSDB_LOCKED;
    int r = db->be->begin(db->priv, flags);
    if (!r) db->intxn = true;
    return r;
}

int cyrusdb_commit(struct db *db)
{
    if (!db->intxn) return 0;
    db->intxn = false;
    return db->be->commit(db->priv);
}

int cyrusdb_flush(struct db *db)
{
    return db->intxn && db->be->flush ? db->be->flush(db->priv) : 0;
}

void cyrusdb_abort(struct db *db)
{
    if (!db->intxn) return;
    db->intxn = false;
    db->be->abort(db->priv);
}

/* Around a change that is a transaction of its own. */
static int begin_one(struct db *db, bool *mine)
{
    *mine = !db->intxn;
    return *mine ? cyrusdb_begin(db, 0) : 0;
}

static int end_one(struct db *db, bool mine, int r)
{
    if (!mine) return r;
    if (!r) return cyrusdb_commit(db);
    cyrusdb_abort(db);
    return r;
}

static int put(struct db *db, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite)
{
    bool mine;
    if (!keylen) return CYRUSDB_INTERNAL;
    int r = begin_one(db, &mine);
    if (r) return r;
    db->changed = true;
    return end_one(db, mine, db->be->store(db->priv, key, keylen, datalen ? data : "", datalen, overwrite));
}

int cyrusdb_store(struct db *db, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return put(db, key, keylen, data, datalen, true);
}

int cyrusdb_create(struct db *db, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return put(db, key, keylen, data, datalen, false);
}

int cyrusdb_delete(struct db *db, const char *key, size_t keylen, bool force)
{
    bool mine;
    if (!keylen) return force ? 0 : CYRUSDB_NOTFOUND;
    int r = begin_one(db, &mine);
    if (r) return r;
    db->changed = true;
    return end_one(db, mine, db->be->delete(db->priv, key, keylen, force));
}

/* ---- care ---- */

int cyrusdb_repack(struct db *db)
{
    if (db->intxn || db->frozen) return CYRUSDB_LOCKED;
    return db->be->repack ? db->be->repack(db->priv) : CYRUSDB_NOTIMPLEMENTED;
}

bool cyrusdb_repack_due(struct db *db)
{
    return db->be->repack_due && !db->intxn && !db->frozen && db->be->repack_due(db->priv);
}

int cyrusdb_consistent(struct db *db)
{
    return db->be->consistent ? db->be->consistent(db->priv) : CYRUSDB_NOTIMPLEMENTED;
}

int cyrusdb_dump(struct db *db, unsigned detail, struct buf *out)
{
    return db->be->dump ? db->be->dump(db->priv, detail, out) : CYRUSDB_NOTIMPLEMENTED;
}

int cyrusdb_unlink(const char *backend, const char *fname)
{
    const struct cyrusdb_backend *be = need_backend(backend);
    struct db *db = find_open(fname);

    if (db && db->refs) return CYRUSDB_LOCKED;
    if (db) really_close(db);
    return be->unlink ? be->unlink(fname) : cyrusdb_error(diskio_unlink_quiet(fname));
}

/* ---- conversion ---- */

struct copy {
    struct db *to;
    uint64_t n, written;
};

static int copy_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct copy *copy = rock;
    copy->n++;
    return cyrusdb_store(copy->to, key, keylen, data, datalen);
}

static int count_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct copy *copy = rock;
    (void)key, (void)keylen, (void)data, (void)datalen;
    copy->written++;
    return 0;
}

/* All records of `from`, which is locked, in a new file; compared by number before they count. */
static int copy_all(struct db *from, struct db *to)
{
    struct copy copy = { .to = to };
    int r = cyrusdb_begin(to, 0);
    if (!r) r = cyrusdb_foreach(from, "", 0, copy_cb, &copy);
    if (!r) r = cyrusdb_foreach(to, "", 0, count_cb, &copy);
    if (!r && copy.n != copy.written) r = CYRUSDB_INTERNAL;
    if (!r) r = cyrusdb_commit(to);
    return r;
}

static int install(const char *tmp, const char *fname)
{
    int r = diskio_rename(tmp, fname);
    if (!r) r = diskio_sync_parent(fname);
    if (r) xsyslog_errno(LOG_ERR, r, "DBERROR: can't replace the database", "filename=<%s>", fname);
    return cyrusdb_error(r);
}

int cyrusdb_convert(const char *fname, const char *fromname, const char *backend, unsigned flags)
{
    const struct cyrusdb_backend *source = need_backend(fromname), *target = need_backend(backend);
    struct db from = { .fname = xstrdup(fname), .be = source, .flags = flags, .refs = 1 };
    struct db *to = NULL;
    char *tmp = xasprintf("%s.NEW", fname);

    int r = source->open(fname, flags & CYRUSDB_MBOXSORT, &from.priv);
    if (!r) {
        r = cyrusdb_begin(&from, 0);
        if (!r) r = cyrusdb_error(diskio_unlink_quiet(tmp));
        if (!r) r = cyrusdb_open(target->name, tmp, CYRUSDB_CREATE | CYRUSDB_NOCOMPACT | (flags & CYRUSDB_MBOXSORT), &to);
        if (!r) r = copy_all(&from, to);
        int rc = cyrusdb_close(to);
        if (!r) r = rc;
        if (!r) r = install(tmp, fname);
        if (r) diskio_unlink_quiet(tmp);
        cyrusdb_abort(&from);
        source->close(from.priv);
    }
    if (r)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: conversion failed, the file is as it was",
                      "filename=<%s> from=<%s> to=<%s> error=<%s>", fname, source->name, target->name,
                      cyrusdb_strerror(r));
    else
        syslog(LOG_NOTICE, "cyrusdb: converted %s from %s to %s", fname, source->name, target->name);
    free(from.fname);
    free(tmp);
    return r;
}

/* ---- marks ---- */

bool cyrusdb_has_marks(const struct db *db)
{
    return db->be->has_marks;
}

bool cyrusdb_needs_no_sync(const struct db *db)
{
    return db->be->has_marks || db->be->whole_values;
}

bool cyrusdb_backend_has_marks(const char *backend)
{
    return need_backend(backend)->has_marks;
}

int cyrusdb_get_state(struct db *db, bool known, struct cyrusdb_state *state)
{
    return db->be->get_state ? db->be->get_state(db->priv, known, state) : CYRUSDB_NOTIMPLEMENTED;
}

int cyrusdb_get_repack(struct db *db, struct cyrusdb_state *from, struct cyrusdb_state *to)
{
    return db->be->get_repack ? db->be->get_repack(db->priv, from, to) : CYRUSDB_NOTIMPLEMENTED;
}

int cyrusdb_get_mark(struct db *db, struct cyrusdb_mark *mark)
{
    return db->be->get_mark ? db->be->get_mark(db->priv, mark) : CYRUSDB_NOTIMPLEMENTED;
}

int cyrusdb_rewind(const char *fname, const struct cyrusdb_mark *marks, unsigned n, bool *cut)
{
    struct db *db = find_open(fname);

    *cut = false;
    if (db && db->refs) return CYRUSDB_LOCKED;
    if (db) really_close(db);
    const char *found = cyrusdb_detect(fname);
    if (!found || strcmp(found, "twoskip")) {
        struct stat st;
        return cyrusdb_error(diskio_stat(fname, &st)); /* its own protocol sees to it */
    }
    return twoskip_rewind(fname, marks, n, cut);
}
