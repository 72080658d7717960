/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_snapshot -- backends whose file is read as a whole and replaced as a whole
 *
 * See the header. A commit is durable when it returns, the new name included; NOSYNC is not heard,
 * because nothing could put half a file in order.
 */
#include <config.h>

#include "cyrusdb_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "filesum.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int ioerror(const struct snapshot *db, int r, const char *what)
{
    xsyslog_errno(LOG_ERR, r, what, "filename=<%s>", db->fname);
    return r == -ENOENT ? CYRUSDB_IOERROR : cyrusdb_error(r);
}

/* ---- the content ---- */

static void forget(struct snapshot *db)
{
    if (db->loaded) kvmap_fini(&db->map);
    db->loaded = false;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int log_damage(const struct snapshot *db)
{
    xsyslog_errno(LOG_ERR, 0, "DBERROR: database has changed in place, by no server: its sum is wrong", "filename=<%s>", db->fname);
    return CYRUSDB_BADFORMAT;
}

/* Reads the open file unless what is in memory is it. */
static int load(struct snapshot *db)
{
    struct buf bytes = BUF_INITIALIZER;
    struct stat st;

    int r = diskio_fstat(db->fd, &st);
    if (r) return ioerror(db, r, "DBERROR: can't read database");
    if (db->loaded && same_state(&st, &db->st)) return 0;
    forget(db);
    /* Read, not mapped: another program may cut it. */
    buf_ensure(&bytes, (size_t)st.st_size + 1);
    ssize_t n = diskio_pread(db->fd, bytes.s, (size_t)st.st_size, 0);
    if (n < 0) {
        buf_free(&bytes);
        return ioerror(db, (int)n, "DBERROR: can't read database");
    }
    if (filesum_iswrong(db->fd, bytes.s, (size_t)n)) {
        buf_free(&bytes);
        return log_damage(db);
    }
    kvmap_init(&db->map, db->format->order(db->flags), false);
    db->loaded = true;
    db->st = st;
    r = db->format->parse(db->fname, bytes.s, (size_t)n, &db->map);
    if (r) forget(db);
    buf_free(&bytes);
    return r;
}

/* The file that the path names now. NOTFOUND: none. */
static int open_present(struct snapshot *db)
{
    struct stat mine, named;

    int r = diskio_stat(db->fname, &named);
    if (!r && db->fd >= 0 && !diskio_fstat(db->fd, &mine) && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino)
        return 0;
    int fd = r ? r : diskio_open(db->fname, O_RDWR, 0);
    if (fd == -ENOENT) return CYRUSDB_NOTFOUND;
    if (fd < 0) return ioerror(db, fd, "DBERROR: can't open database");
    diskio_close(db->fd);
    db->fd = fd;
    return 0;
}

static int enter(struct snapshot *db)
{
    if (db->intxn) return 0;
    int r = 0;
    if (db->format->lock_to_read) {
        r = diskio_lock_reopen(&db->fd, db->fname, O_RDWR, DISKIO_LOCK_SHARED, 0, NULL, NULL);
        if (r == -ENOENT) return CYRUSDB_NOTFOUND;
        if (r) return ioerror(db, r, "DBERROR: can't lock database");
        r = load(db);
        diskio_lock(db->fd, DISKIO_UNLOCK, 0);
        return r;
    }
    r = open_present(db);
    return r ? r : load(db);
}

/* ---- open and close ---- */

static int make_empty(struct snapshot *db)
{
    struct kvmap empty;
    struct buf bytes = BUF_INITIALIZER;

    int fd = diskio_open(db->fname, O_RDWR | O_CREAT, 0644);
    if (fd == -ENOENT) {
        fd = diskio_mkparents(db->fname, 0755);
        if (!fd) fd = diskio_open(db->fname, O_RDWR | O_CREAT, 0644);
    }
    if (fd < 0) return ioerror(db, fd, "DBERROR: can't make database");
    db->fd = fd;
    int r = diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
    if (!r && diskio_size(fd) == 0) {
        kvmap_init(&empty, db->format->order(db->flags), false);
        db->format->write(&empty, &bytes);
        kvmap_fini(&empty);
        if (bytes.len) r = diskio_pwrite(fd, bytes.s, bytes.len, 0);
        buf_free(&bytes);
    }
    diskio_lock(fd, DISKIO_UNLOCK, 0);
    return r ? ioerror(db, r, "DBERROR: can't make database") : 0;
}

int snapshot_open(const struct snapshot_format *format, const char *fname, unsigned flags, void **dbp)
{
    struct snapshot *db = xzmalloc(sizeof(*db));
    struct stat st;

    db->format = format;
    db->fname = xstrdup(fname);
    db->flags = flags;
    db->fd = -1;
    int r = open_present(db);
    /* An empty file that ought to have a header is one that was just being made. */
    bool unmade = r == CYRUSDB_NOTFOUND ? flags & CYRUSDB_CREATE : !r && !diskio_fstat(db->fd, &st) && !st.st_size;
    if (unmade) {
        diskio_close(db->fd);
        r = make_empty(db);
    }
    if (!r) r = enter(db);
    if (r)
        snapshot_close(db);
    else
        *dbp = db;
    return r;
}

void snapshot_close(void *rock)
{
    struct snapshot *db = rock;
    forget(db);
    diskio_close(db->fd);
    free(db->fname);
    free(db);
}

bool snapshot_is_current(void *rock, const struct stat *st)
{
    const struct snapshot *db = rock;
    struct stat mine;
    return !diskio_fstat(db->fd, &mine) && mine.st_dev == st->st_dev && mine.st_ino == st->st_ino;
}

/* ---- reading ---- */

int snapshot_fetch(void *rock, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    struct snapshot *db = rock;
    int r = enter(db);
    if (r) return r;
    const struct kvmap_node *node = kvmap_find(&db->map, key, keylen);
    if (!node) return CYRUSDB_NOTFOUND;
    *data = node->data;
    *datalen = node->datalen;
    return 0;
}

int snapshot_seek(void *rock, const char *key, size_t keylen, bool after, const char **foundkey, size_t *foundkeylen,
                  const char **data, size_t *datalen)
{
    struct snapshot *db = rock;
    int r = enter(db);
    if (r) return r;
    const struct kvmap_node *node = keylen ? kvmap_seek(&db->map, key, keylen, after) : kvmap_first(&db->map);
    if (!node) return CYRUSDB_NOTFOUND;
    *foundkey = node->key;
    *foundkeylen = node->keylen;
    if (data) *data = node->data;
    if (datalen) *datalen = node->datalen;
    return 0;
}

int snapshot_consistent(void *rock)
{
    struct snapshot *db = rock;
    if (!db->intxn) forget(db);
    return enter(db);
}

/* ---- changing ---- */

int snapshot_begin(void *rock, unsigned flags)
{
    struct snapshot *db = rock;
    bool shared = flags & CYRUSDB_SHARED;

    int r = diskio_lock_reopen(&db->fd, db->fname, O_RDWR, shared ? DISKIO_LOCK_SHARED : DISKIO_LOCK_EXCLUSIVE, 0,
                               NULL, NULL);
    if (r == -ENOENT) return CYRUSDB_NOTFOUND;
    if (r) return ioerror(db, r, "DBERROR: can't lock database");
    r = load(db);
    if (r) {
        diskio_lock(db->fd, DISKIO_UNLOCK, 0);
        return r;
    }
    db->intxn = true;
    db->shared = shared;
    db->changed = false;
    return 0;
}

static void end(struct snapshot *db)
{
    db->intxn = db->shared = db->changed = false;
    diskio_lock(db->fd, DISKIO_UNLOCK, 0);
}

/* Writes all of it beside the file and gives it the name. */
static int replace_file(struct snapshot *db)
{
    char *tmp = xasprintf("%s.NEW", db->fname);
    struct buf bytes = BUF_INITIALIZER;

    db->format->write(&db->map, &bytes);
    int r = db->format->max_size && bytes.len > db->format->max_size ? -EFBIG : diskio_unlink_quiet(tmp);
    int fd = r ? r : diskio_create(tmp, db->st.st_mode & 0666 ? db->st.st_mode & 0666 : 0644);
    if (fd >= 0) {
        r = diskio_pwrite(fd, bytes.s, bytes.len, 0);
        if (!r && db->format->sum) filesum_set(fd, bytes.s, bytes.len);
        if (!r) r = diskio_fsync(fd);
        if (!r) r = diskio_rename(tmp, db->fname);
        if (!r) r = diskio_sync_parent(db->fname);
        if (r) diskio_unlink_quiet(tmp);
    }
    else {
        r = fd;
    }
    if (!r) {
        diskio_lock(db->fd, DISKIO_UNLOCK, 0);
        diskio_close(db->fd);
        db->fd = fd;
        diskio_fstat(fd, &db->st);
    }
    else {
        diskio_close(fd);
        r = ioerror(db, r, "DBERROR: can't replace the database");
    }
    buf_free(&bytes);
    free(tmp);
    return r;
}

int snapshot_commit(void *rock)
{
    struct snapshot *db = rock;
    int r = db->changed ? replace_file(db) : 0;
    if (r) forget(db);
    end(db);
    return r;
}

void snapshot_abort(void *rock)
{
    struct snapshot *db = rock;
    if (db->changed) forget(db);
    end(db);
}

int snapshot_store(void *rock, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite)
{
    struct snapshot *db = rock;
    if (db->shared) return CYRUSDB_READONLY;
    const struct kvmap_node *node = kvmap_find(&db->map, key, keylen);
    if (node && !overwrite) return CYRUSDB_EXISTS;
    if (node && node->datalen == datalen && !memcmp(node->data, data, datalen)) return 0;
    kvmap_set(&db->map, key, keylen, data, datalen);
    db->changed = true;
    return 0;
}

int snapshot_delete(void *rock, const char *key, size_t keylen, bool force)
{
    struct snapshot *db = rock;
    if (db->shared) return CYRUSDB_READONLY;
    if (!kvmap_remove(&db->map, key, keylen)) return force ? 0 : CYRUSDB_NOTFOUND;
    db->changed = true;
    return 0;
}
