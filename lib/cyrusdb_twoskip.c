/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_twoskip -- the backend twoskip: open, lock, read (handbook 01 §2)
 *
 * The rooms are listed in twoskip.h. A reader takes the whole-file lock shared, looks whether the
 * path still names its file, reads the header, and repairs the file first when a writer died. What
 * it hands out lies in the mapped file; keys and values never change in place, so it stays
 * good after the lock is gone, until the file is mapped anew.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "twoskip.h"
#include "xmalloc.h"
#include "xsyslog.h"

int twoskip_ioerror(const struct twoskip *ts, int r, const char *what)
{
    xsyslog_errno(LOG_ERR, r, what, "filename=<%s>", ts->fname);
    return r == -ENOENT ? CYRUSDB_IOERROR : cyrusdb_error(r);
}

static uint64_t milliseconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- open ---- */

static int open_fd(const char *fname, unsigned flags)
{
    int fd = diskio_open(fname, O_RDWR, 0);
    if (fd != -ENOENT || !(flags & CYRUSDB_CREATE)) return fd;
    fd = diskio_open(fname, O_RDWR | O_CREAT, 0644);
    if (fd != -ENOENT) return fd;
    int r = diskio_mkparents(fname, 0755);
    return r ? r : diskio_open(fname, O_RDWR | O_CREAT, 0644);
}

int twoskip_open_file(const char *fname, unsigned flags, struct twoskip **tsp)
{
    int fd = open_fd(fname, flags);
    if (fd == -ENOENT) return CYRUSDB_NOTFOUND;

    struct twoskip *ts = xzmalloc(sizeof(*ts));
    ts->fname = xstrdup(fname);
    ts->fd = fd;
    ts->flags = flags;
    ts->cmp = flags & CYRUSDB_MBOXSORT ? cyrusdb_cmp_mbox : cyrusdb_cmp_raw;
    int r = fd < 0 ? twoskip_ioerror(ts, fd, "DBERROR: can't open twoskip file") : twoskip_lock(ts, DISKIO_LOCK_SHARED);
    if (r) {
        twoskip_free(ts);
        return r;
    }
    twoskip_unlock(ts);
    *tsp = ts;
    return 0;
}

void twoskip_free(struct twoskip *ts)
{
    if (ts->intxn && !ts->shared) twoskip_txn_abort(ts);
    diskio_map_free(&ts->map);
    diskio_close(ts->fd);
    buf_free(&ts->tail);
    free(ts->fname);
    free(ts);
}

/* The bytes of an empty file. */
static void empty_file(uint64_t generation, struct twoskip_header *header, char base[TWOSKIP_FIRST])
{
    static const uint64_t ptrs[TWOSKIP_MAXLEVEL + 1];
    char head[TWOSKIP_HEADMAX];

    *header = (struct twoskip_header){ .generation = generation, .repack_size = TWOSKIP_FIRST,
                                       .current_size = TWOSKIP_FIRST };
    twoskip_header_write(header, base);
    twoskip_make_head('=', TWOSKIP_MAXLEVEL, 0, 0, ptrs, 0, head);
    memcpy(base + TWOSKIP_DUMMY, head, TWOSKIP_FIRST - TWOSKIP_DUMMY);
}

int twoskip_init_file(struct twoskip *ts, uint64_t generation)
{
    char base[TWOSKIP_FIRST];

    empty_file(generation, &ts->header, base);
    int r = diskio_pwrite(ts->fd, base, sizeof(base), 0);
    if (!r) r = diskio_fsync(ts->fd);
    /* What was written of it must not be taken for a damaged file. */
    if (r) (void)diskio_ftruncate(ts->fd, 0);
    ts->made = true;
    return r ? twoskip_ioerror(ts, r, "DBERROR: can't make twoskip file") : 0;
}

int twoskip_refresh(struct twoskip *ts, uint64_t len)
{
    if (len > SIZE_MAX) return CYRUSDB_IOERROR;
    int r = diskio_map_refresh(&ts->map, ts->fd, (size_t)len);
    return r ? twoskip_ioerror(ts, r, "DBERROR: can't map twoskip file") : 0;
}

/* ---- locks ---- */

void twoskip_unlock(struct twoskip *ts)
{
    if (ts->lock == DISKIO_UNLOCK) return;
    ts->lock = DISKIO_UNLOCK;
    diskio_lock(ts->fd, DISKIO_UNLOCK, 0);
    uint64_t held = milliseconds() - ts->locked_at;
    if (held > 1000) syslog(LOG_NOTICE, "mappedfile: longlock %s for %.1f seconds", ts->fname, (double)held / 1000);
}

static int lock_file(struct twoskip *ts, enum diskio_lock type, struct stat *st)
{
    bool reopened;
    int r = diskio_lock_reopen(&ts->fd, ts->fname, O_RDWR, type, 0, &reopened, st);
    if (r == -ENOENT) return CYRUSDB_NOTFOUND; /* somebody removed it */
    if (r) return twoskip_ioerror(ts, r, "DBERROR: can't lock twoskip file");
    if (reopened || !ts->ino) {
        diskio_map_free(&ts->map);
        memset(ts->whole, 0, sizeof(ts->whole));
        ts->dev = st->st_dev;
        ts->ino = st->st_ino;
    }
    ts->lock = type;
    ts->locked_at = milliseconds();
    return 0;
}

/*
 * Empty, or the zeros that a power cut leaves of a file that had been made and not yet synced, or a part of the bytes that
 * make it, with a whole header: nothing was ever committed to it.
 */
static int is_unmade(struct twoskip *ts, const struct stat *st, bool *unmade)
{
    static const char zeros[TWOSKIP_FIRST];
    struct twoskip_header header;
    char made[TWOSKIP_FIRST];

    *unmade = st->st_size == 0;
    if (*unmade || st->st_size > (off_t)sizeof(zeros)) return 0;
    int r = twoskip_refresh(ts, (uint64_t)st->st_size);
    if (r) return r;
    *unmade = !memcmp(ts->map.base, zeros, (size_t)st->st_size);
    if (*unmade || st->st_size < TWOSKIP_HEADER || st->st_size == TWOSKIP_FIRST) return 0;
    empty_file(1, &header, made);
    *unmade = !memcmp(ts->map.base, made, (size_t)st->st_size);
    return 0;
}

/* The header under the lock; *repair: the last writer did not finish. */
static int read_header(struct twoskip *ts, const struct stat *st, bool *repair)
{
    int r = is_unmade(ts, st, repair);
    if (r || *repair) return r;
    r = twoskip_refresh(ts, (uint64_t)st->st_size);
    if (!r) r = twoskip_header_parse(ts->fname, ts->map.base, ts->map.len, &ts->header);
    if (r) return r;
    *repair = (ts->header.flags & TWOSKIP_DIRTY) || (uint64_t)st->st_size != ts->header.current_size;
    ts->tailbase = ts->end = ts->header.current_size;
    return 0;
}

static int repair_file(struct twoskip *ts, const struct stat *st)
{
    bool unmade;
    int r = is_unmade(ts, st, &unmade);
    if (r) return r;
    if (!unmade) return twoskip_recover(ts);
    r = twoskip_init_file(ts, 1);
    if (!r) r = twoskip_refresh(ts, TWOSKIP_FIRST);
    ts->tailbase = ts->end = TWOSKIP_FIRST;
    return r;
}

int twoskip_lock(struct twoskip *ts, enum diskio_lock type)
{
    struct stat st;
    bool repair = false;

    int r = lock_file(ts, type, &st);
    if (!r) r = read_header(ts, &st, &repair);
    if (!r && repair && type == DISKIO_LOCK_SHARED) {
        twoskip_unlock(ts);
        r = lock_file(ts, DISKIO_LOCK_EXCLUSIVE, &st);
        if (!r) r = read_header(ts, &st, &repair);
    }
    if (!r && repair) r = repair_file(ts, &st);
    if (!r && ts->lock != type) {
        r = diskio_lock(ts->fd, type, 0);
        if (r) r = twoskip_ioerror(ts, r, "DBERROR: can't lock twoskip file");
        ts->lock = type;
    }
    if (r) twoskip_unlock(ts);
    return r;
}

/* ---- reading ---- */

/* As a transaction reads, or one that needs no lock. */
static bool is_settled(const struct twoskip *ts)
{
    return ts->intxn || ts->frozen;
}

static int enter(struct twoskip *ts)
{
    return is_settled(ts) ? 0 : twoskip_lock(ts, DISKIO_LOCK_SHARED);
}

static void leave(struct twoskip *ts)
{
    if (!is_settled(ts)) twoskip_unlock(ts);
}

static int ts_freeze(void *db, bool on)
{
    struct twoskip *ts = db;
    int r = on ? twoskip_lock(ts, DISKIO_LOCK_SHARED) : 0;
    if (on) twoskip_unlock(ts);
    ts->frozen = on && !r;
    return r;
}

static int ts_fetch(void *db, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    struct twoskip *ts = db;
    int r = enter(ts);
    if (r) return r;
    r = twoskip_find_live(ts, key, keylen);
    if (!r) r = twoskip_check_tail(ts, &ts->found);
    leave(ts);
    if (r) return r;
    *data = ts->found.val;
    *datalen = (size_t)ts->found.vallen;
    return 0;
}

static int ts_seek(void *db, const char *key, size_t keylen, bool after, const char **foundkey, size_t *foundkeylen,
                   const char **data, size_t *datalen)
{
    struct twoskip *ts = db;
    struct twoskip_record rec;
    int r = enter(ts);
    if (r) return r;
    r = twoskip_seek(ts, key, keylen, after, &rec);
    if (!r) r = twoskip_check_tail(ts, &rec);
    leave(ts);
    if (r) return r;
    *foundkey = rec.key;
    *foundkeylen = (size_t)rec.keylen;
    if (data) *data = rec.val;
    if (datalen) *datalen = (size_t)rec.vallen;
    return 0;
}

/*
 * A run of records read under one lock. It is used up only while nothing has changed: not through
 * this handle, and not in the file, which its header tells.
 */
struct batch {
    const char *prefix;
    size_t prefixlen;
    struct buf bytes; /* key NUL value NUL ... */
    struct {
        size_t keylen, vallen;
    } item[256];
    unsigned n, max;
    bool last; /* nothing comes behind it */
    bool damaged; /* a record was left out */
    char header[TWOSKIP_HEADER];
    uint64_t changes;
};

static bool is_stale(const struct twoskip *ts, const struct batch *batch)
{
    if (ts->changes != batch->changes) return true;
    return ts->map.len < TWOSKIP_HEADER || memcmp(ts->map.base, batch->header, TWOSKIP_HEADER);
}

static bool has_prefix(const struct batch *batch, const struct twoskip_record *rec)
{
    return rec->keylen >= batch->prefixlen && !memcmp(rec->key, batch->prefix, batch->prefixlen);
}

static int fill_locked(struct twoskip *ts, struct batch *batch, const struct buf *from, bool after)
{
    struct twoskip_record rec, next;

    batch->changes = ts->changes;
    memcpy(batch->header, ts->map.base, TWOSKIP_HEADER);
    int r = twoskip_seek(ts, from->s, from->len, after, &rec);
    while (!r && (!twoskip_is_whole(ts, &rec) || has_prefix(batch, &rec))) {
        if (twoskip_check_tail(ts, &rec)) {
            batch->damaged = true; /* it may be one of them, or not */
            r = twoskip_step(ts, &rec, &next);
            rec = next;
            continue;
        }
        buf_appendmap(&batch->bytes, rec.key, (size_t)rec.keylen);
        buf_putc(&batch->bytes, 0);
        buf_appendmap(&batch->bytes, rec.val, (size_t)rec.vallen);
        buf_putc(&batch->bytes, 0);
        batch->item[batch->n].keylen = (size_t)rec.keylen;
        batch->item[batch->n++].vallen = (size_t)rec.vallen;
        if (batch->n == batch->max || batch->bytes.len > 256 * 1024) return 0;
        r = twoskip_step(ts, &rec, &next);
        rec = next;
    }
    if (r == CYRUSDB_NOTFOUND) r = 0;
    batch->last = !r;
    return r;
}

/* What was read before an error is handed out first: the error comes again at its own place. */
static int fill(struct twoskip *ts, struct batch *batch, const struct buf *from, bool after)
{
    buf_reset(&batch->bytes);
    batch->n = 0;
    batch->last = false;
    int r = enter(ts);
    if (r) return r == CYRUSDB_NOTFOUND ? (batch->last = true, 0) : r;
    r = fill_locked(ts, batch, from, after);
    leave(ts);
    return batch->n ? 0 : r;
}

static int ts_foreach(void *db, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *rock)
{
    struct twoskip *ts = db;
    struct batch batch = { .prefixlen = prefixlen, .max = 8 };
    struct buf from = BUF_INITIALIZER, start = BUF_INITIALIZER;
    int r;

    buf_setmap(&start, prefix, prefixlen);
    batch.prefix = buf_cstring(&start);
    buf_copy(&from, &start);
    for (bool after = false;; after = true) {
        r = fill(ts, &batch, &from, after);
        size_t at = 0;
        bool stale = false;
        for (unsigned i = 0; !r && !stale && i < batch.n; i++) {
            const char *key = batch.bytes.s + at, *val = key + batch.item[i].keylen + 1;
            buf_setmap(&from, key, batch.item[i].keylen);
            at += batch.item[i].keylen + batch.item[i].vallen + 2;
            r = cb(rock, key, batch.item[i].keylen, val, batch.item[i].vallen);
            stale = is_stale(ts, &batch);
        }
        if (r || (batch.last && !stale)) break;
        if (batch.max < 256) batch.max *= 2;
    }
    if (!r && batch.damaged) r = CYRUSDB_BADFORMAT;
    buf_free(&batch.bytes);
    buf_free(&from);
    buf_free(&start);
    return r;
}

/* ---- the rest of the table ---- */

static int ts_open(const char *fname, unsigned flags, void **dbp)
{
    struct twoskip *ts = NULL;
    int r = twoskip_open_file(fname, flags, &ts);
    if (!r) *dbp = ts;
    return r;
}

static void ts_close(void *db)
{
    twoskip_free(db);
}

static bool ts_is_current(void *db, const struct stat *st)
{
    const struct twoskip *ts = db;
    return st->st_dev == ts->dev && st->st_ino == ts->ino;
}

static cyrusdb_cmp *ts_order(unsigned flags)
{
    return flags & CYRUSDB_MBOXSORT ? cyrusdb_cmp_mbox : cyrusdb_cmp_raw;
}

static int ts_begin(void *db, unsigned flags)
{
    struct twoskip *ts = db;
    bool shared = flags & CYRUSDB_SHARED;
    int r = twoskip_lock(ts, shared ? DISKIO_LOCK_SHARED : DISKIO_LOCK_EXCLUSIVE);
    if (r) return r;
    ts->changes++;
    ts->shared = shared;
    if (!shared) return twoskip_txn_begin(ts, flags & CYRUSDB_NOSYNC);
    ts->intxn = true;
    return 0;
}

static void ts_end_shared(struct twoskip *ts)
{
    ts->intxn = ts->shared = false;
    twoskip_unlock(ts);
}

/* What is committed must not vanish with the name of a new file. */
static int commit_durably(struct twoskip *ts)
{
    int r = ts->made ? diskio_sync_parent(ts->fname) : 0;
    if (r) {
        twoskip_txn_abort(ts);
        return twoskip_ioerror(ts, r, "DBERROR: can't sync the directory of a new twoskip file");
    }
    ts->made = false;
    return twoskip_txn_commit(ts);
}

static int ts_commit(void *db)
{
    struct twoskip *ts = db;
    int r = 0;
    ts->changes++;
    if (!ts->shared) r = ts->nosync ? twoskip_txn_commit(ts) : commit_durably(ts);
    ts_end_shared(ts);
    return r;
}

static void ts_abort(void *db)
{
    struct twoskip *ts = db;
    ts->changes++;
    if (!ts->shared) twoskip_txn_abort(ts);
    ts_end_shared(ts);
}

static int ts_store(void *db, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite)
{
    struct twoskip *ts = db;
    if (ts->shared) return CYRUSDB_READONLY;
    ts->changes++;
    return twoskip_txn_store(ts, key, keylen, data, datalen, overwrite);
}

static int ts_delete(void *db, const char *key, size_t keylen, bool force)
{
    struct twoskip *ts = db;
    if (ts->shared) return CYRUSDB_READONLY;
    ts->changes++;
    return twoskip_txn_delete(ts, key, keylen, force);
}

static int ts_flush(void *db)
{
    struct twoskip *ts = db;
    ts->changes++;
    return ts->shared ? 0 : twoskip_flush(ts);
}

static int with_lock(struct twoskip *ts, enum diskio_lock type, int (*fn)(struct twoskip *ts))
{
    int r = is_settled(ts) ? 0 : twoskip_lock(ts, type);
    if (r) return r;
    r = fn(ts);
    leave(ts);
    return r;
}

static int ts_repack(void *db)
{
    struct twoskip *ts = db;
    ts->changes++;
    return with_lock(ts, DISKIO_LOCK_EXCLUSIVE, twoskip_repack);
}

static bool ts_repack_due(void *db)
{
    return twoskip_repack_due(db);
}

static int ts_consistent(void *db)
{
    return with_lock(db, DISKIO_LOCK_SHARED, twoskip_check);
}

static int nothing(struct twoskip *ts)
{
    (void)ts;
    return 0;
}

static int ts_get_mark(void *db, struct cyrusdb_mark *mark)
{
    struct twoskip *ts = db;
    int r = with_lock(ts, DISKIO_LOCK_SHARED, nothing);
    mark->generation = ts->header.generation;
    mark->end = ts->header.current_size;
    return r;
}

static int ts_get_state(void *db, bool known, struct cyrusdb_state *state)
{
    int r = known ? 0 : with_lock(db, DISKIO_LOCK_SHARED, nothing);
    twoskip_state(db, state);
    return r;
}

static int ts_get_repack(void *db, struct cyrusdb_state *from, struct cyrusdb_state *to)
{
    const struct twoskip *ts = db;
    *from = ts->repacked_from;
    *to = ts->repacked_to;
    return ts->repacked_to.ino ? 0 : CYRUSDB_NOTFOUND;
}

static int ts_dump(void *db, unsigned detail, struct buf *out)
{
    struct twoskip *ts = db;
    int r = enter(ts);
    if (r) return r;
    r = twoskip_dump(ts, detail, out);
    leave(ts);
    return r;
}

const struct cyrusdb_backend cyrusdb_twoskip = {
    .name = "twoskip",
    .has_marks = true,
    .open = ts_open,
    .close = ts_close,
    .is_current = ts_is_current,
    .order = ts_order,
    .fetch = ts_fetch,
    .seek = ts_seek,
    .foreach = ts_foreach,
    .freeze = ts_freeze,
    .begin = ts_begin,
    .commit = ts_commit,
    .abort = ts_abort,
    .flush = ts_flush,
    .store = ts_store,
    .delete = ts_delete,
    .repack = ts_repack,
    .repack_due = ts_repack_due,
    .consistent = ts_consistent,
    .dump = ts_dump,
    .get_mark = ts_get_mark,
    .get_state = ts_get_state,
    .get_repack = ts_get_repack,
    .salvage = twoskip_salvage,
};
