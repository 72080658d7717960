/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_quotalegacy -- the backend quotalegacy: one small file a key (handbook 01 §3.4)
 *
 * The "file" names the directory: what stands before its last component (`quotas.db`, `quota/`) has quota/ and domain/. Keys are
 * internal names of quota roots; one that can't be a file name can't be stored. A transaction is kept in
 * memory; its commit replaces the files one after the other, each with its lock held.
 * With NOSYNC nothing is synced: the journal writes each file again as a whole.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cyrusdb_backend.h"
#include "buf.h"
#include "diskio.h"
#include "dirhash.h"
#include "filesum.h"
#include "kvmap.h"
#include "libconfig.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct quotalegacy {
    char *base; /* directory */
    bool domains, fullhash;
    bool intxn, shared, nosync;
    struct kvmap staged; /* data NULL: removed */
    struct buf value, key;
};

static int ioerror(const char *path, int r, const char *what)
{
    xsyslog_errno(LOG_ERR, r, what, "filename=<%s>", path);
    return r == -ENOENT ? CYRUSDB_IOERROR : cyrusdb_error(r);
}

/* ---- keys and files ---- */

static bool can_be_name(const char *name, size_t len)
{
    return len && len < 250 && !memchr(name, '/', len) && !memchr(name, 0, len) && memcmp_len(name, len, ".", 1) &&
           memcmp_len(name, len, "..", 2);
}

static void put_hash(const struct quotalegacy *db, const char *name, size_t len, struct buf *out)
{
    char *s = xstrndup(name, len);
    buf_printf(out, "/%c/", dir_hash_c(s, db->fullhash));
    free(s);
}

/* The path of a key's file; false when it can't have one. */
static bool key_path(const struct quotalegacy *db, const char *key, size_t len, struct buf *path)
{
    const char *mark = db->domains ? memchr(key, '!', len) : NULL;

    buf_setcstr(path, db->base);
    if (mark) {
        size_t n = (size_t)(mark - key);
        if (!can_be_name(key, n)) return false;
        buf_appendcstr(path, "/domain");
        put_hash(db, key, n, path);
        buf_appendmap(path, key, n);
        len -= n + 1;
        key = mark + 1;
        if (!len) {
            buf_appendcstr(path, "/quota/root");
            return true;
        }
    }
    if (!can_be_name(key, len)) return false;
    const char *dot = memchr(key, '.', len), *k = dot ? dot + 1 : key;
    buf_appendcstr(path, "/quota");
    put_hash(db, k, len - (size_t)(k - key), path);
    buf_appendmap(path, key, len);
    return true;
}

/* ---- one file ---- */

static int read_value(const char *path, struct buf *value)
{
    int fd = diskio_open(path, O_RDONLY, 0);
    if (fd == -ENOENT || fd == -ENOTDIR) return CYRUSDB_NOTFOUND;
    if (fd < 0) return ioerror(path, fd, "DBERROR: can't open quota file");
    int64_t size = diskio_size(fd);
    int r = size < 0 ? (int)size : size > 1 << 20 ? -EFBIG : 0;
    buf_reset(value);
    if (!r) {
        buf_ensure(value, (size_t)size);
        ssize_t n = diskio_pread(fd, value->s, (size_t)size, 0);
        if (n < 0)
            r = (int)n;
        else
            value->len = (size_t)n;
    }
    bool damaged = !r && filesum_iswrong(fd, value->s, value->len);
    diskio_close(fd);
    if (r) return ioerror(path, r, "DBERROR: can't read quota file");
    if (damaged) {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: quota file has changed in place", "filename=<%s>", path);
        return CYRUSDB_BADFORMAT;
    }
    if (!value->len) return 0;
    if (value->s[value->len - 1] != '\n') {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: quota file does not end with LF", "filename=<%s>", path);
        return CYRUSDB_BADFORMAT;
    }
    buf_truncate(value, value->len - 1);
    ptrdiff_t lf = buf_findchar(value, 0, '\n');
    if (lf >= 0 && value->s[0] != '%') value->s[lf] = ' ';
    return 0;
}

static void make_text(const char *data, size_t len, struct buf *text)
{
    buf_setmap(text, data, len);
    ptrdiff_t space = len && data[0] != '%' ? buf_findchar(text, 0, ' ') : -1;
    if (space >= 0) text->s[space] = '\n';
    buf_putc(text, '\n');
}

/* The lock of the file that is there, so that programs of 3.6.1 don't write meanwhile; -1: no file. */
static int lock_present(const char *path, int *fdp)
{
    *fdp = diskio_open(path, O_RDWR, 0);
    if (*fdp == -ENOENT) return 0;
    int r = *fdp < 0 ? *fdp : diskio_lock_reopen(fdp, path, O_RDWR, DISKIO_LOCK_EXCLUSIVE, 0, NULL, NULL);
    return r == -ENOENT ? 0 : r;
}

static int create_new(const char *path)
{
    int r = diskio_unlink_quiet(path);
    int fd = r ? r : diskio_create(path, 0644);
    if (fd != -ENOENT) return fd;
    r = diskio_mkparents(path, 0755);
    return r ? r : diskio_create(path, 0644);
}

static int write_value(const char *path, const char *data, size_t len, bool sync)
{
    char *tmp = xasprintf("%s.NEW", path);
    struct buf text = BUF_INITIALIZER;

    make_text(data, len, &text);
    int fd = create_new(tmp);
    int r = fd < 0 ? fd : diskio_lock(fd, DISKIO_LOCK_EXCLUSIVE, 0);
    if (!r) r = diskio_pwrite(fd, text.s, text.len, 0);
    if (!r) filesum_set(fd, text.s, text.len);
    if (!r && sync) r = diskio_fsync(fd);
    if (!r) r = diskio_rename(tmp, path);
    if (!r && sync) r = diskio_sync_parent(path);
    if (r && fd >= 0) diskio_unlink_quiet(tmp);
    diskio_close(fd);
    buf_free(&text);
    free(tmp);
    return r;
}

static int change(struct quotalegacy *db, const struct kvmap_node *node)
{
    struct buf path = BUF_INITIALIZER;
    int fd = -1, r = 0;

    if (!key_path(db, node->key, node->keylen, &path)) goto done; /* a removal of what can't be */
    r = lock_present(buf_cstring(&path), &fd);
    if (!r && node->data) r = write_value(path.s, node->data, node->datalen, !db->nosync);
    if (!r && !node->data) {
        r = diskio_unlink_quiet(path.s);
        if (!r && !db->nosync && fd >= 0) r = diskio_sync_parent(path.s);
    }
    diskio_close(fd);
    if (r) r = ioerror(path.s, r, "DBERROR: can't change quota file");
done:
    buf_free(&path);
    return r;
}

/* ---- all files ---- */

/* Names in a directory, but for . and ..; none when there is no such directory. */
static int each_name(const char *path, int (*fn)(void *rock, const char *dir, const char *name), void *rock)
{
    DIR *d = opendir(path);
    struct dirent *de;
    int r = 0;

    if (!d) return errno == ENOENT || errno == ENOTDIR ? 0 : ioerror(path, -errno, "DBERROR: can't read directory");
    while (!r && (errno = 0, de = readdir(d))) {
        if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..")) r = fn(rock, path, de->d_name);
    }
    if (!r && !de && errno) r = ioerror(path, -errno, "DBERROR: can't read directory");
    closedir(d);
    return r;
}

struct listing {
    struct kvmap *keys;
    struct buf domain; /* "DOMAIN!" or nothing */
};

static bool is_leftover(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && !strcmp(name + len - 4, ".NEW");
}

static int list_file(void *rock, const char *dir, const char *name)
{
    struct listing *l = rock;
    size_t n = l->domain.len;
    (void)dir;
    if (is_leftover(name)) return 0;
    buf_appendcstr(&l->domain, name);
    kvmap_set(l->keys, l->domain.s, l->domain.len, "", 0);
    buf_truncate(&l->domain, n);
    return 0;
}

/* A name in quota/: a hash directory, or the file of a whole domain. */
static int list_quota(void *rock, const char *dir, const char *name)
{
    struct listing *l = rock;
    if (l->domain.len && !strcmp(name, "root")) {
        kvmap_set(l->keys, l->domain.s, l->domain.len, "", 0);
        return 0;
    }
    if (strlen(name) != 1 || !cyr_isalpha(name[0])) return 0;
    char *path = xasprintf("%s/%s", dir, name);
    int r = each_name(path, list_file, l);
    free(path);
    return r;
}

static int list_domain(void *rock, const char *dir, const char *name)
{
    struct listing *l = rock;
    char *path = xasprintf("%s/%s/quota", dir, name);
    buf_setcstr(&l->domain, name);
    buf_putc(&l->domain, '!');
    int r = each_name(path, list_quota, l);
    free(path);
    return r;
}

static int list_domain_hash(void *rock, const char *dir, const char *name)
{
    if (strlen(name) != 1) return 0;
    char *path = xasprintf("%s/%s", dir, name);
    int r = each_name(path, list_domain, rock);
    free(path);
    return r;
}

/* All keys, with what the transaction changed. */
static int list_keys(struct quotalegacy *db, struct kvmap *keys)
{
    struct listing l = { .keys = keys };
    char *quota = xasprintf("%s/quota", db->base), *domain = xasprintf("%s/domain", db->base);

    kvmap_init(keys, cyrusdb_cmp_raw, false);
    buf_setcstr(&l.domain, "");
    int r = each_name(quota, list_quota, &l);
    if (!r && db->domains) r = each_name(domain, list_domain_hash, &l);
    const struct kvmap_node *node = db->staged.head ? kvmap_first(&db->staged) : NULL;
    for (; node; node = node->next[0]) {
        if (node->data)
            kvmap_set(keys, node->key, node->keylen, "", 0);
        else
            kvmap_remove(keys, node->key, node->keylen);
    }
    buf_free(&l.domain);
    free(quota);
    free(domain);
    return r;
}

/* ---- the table ---- */

static int ql_open(const char *fname, unsigned flags, void **dbp)
{
    size_t len = strlen(fname);
    while (len && fname[len - 1] == '/') len--;
    const char *slash = memrchr(fname, '/', len);
    struct quotalegacy *db = xzmalloc(sizeof(*db));

    (void)flags;
    db->base = slash ? xstrndup(fname, (size_t)(slash - fname)) : xstrdup(".");
    db->domains = config_getenum(IMAPOPT_VIRTDOMAINS) != IMAP_ENUM_VIRTDOMAINS_OFF;
    db->fullhash = config_getswitch(IMAPOPT_FULLDIRHASH);
    *dbp = db;
    return 0;
}

static void forget(struct quotalegacy *db)
{
    if (db->staged.head) kvmap_fini(&db->staged);
    db->intxn = db->shared = db->nosync = false;
}

static void ql_close(void *rock)
{
    struct quotalegacy *db = rock;
    forget(db);
    buf_free(&db->value);
    buf_free(&db->key);
    free(db->base);
    free(db);
}

static cyrusdb_cmp *ql_order(unsigned flags)
{
    (void)flags;
    return cyrusdb_cmp_raw;
}

static int ql_fetch(void *rock, const char *key, size_t keylen, const char **data, size_t *datalen)
{
    struct quotalegacy *db = rock;
    struct buf path = BUF_INITIALIZER;
    const struct kvmap_node *node = db->staged.head ? kvmap_find(&db->staged, key, keylen) : NULL;

    if (node) {
        *data = node->data;
        *datalen = node->datalen;
        return node->data ? 0 : CYRUSDB_NOTFOUND;
    }
    int r = key_path(db, key, keylen, &path) ? read_value(buf_cstring(&path), &db->value) : CYRUSDB_NOTFOUND;
    buf_free(&path);
    if (r) return r;
    *data = buf_cstring(&db->value);
    *datalen = db->value.len;
    return 0;
}

static int ql_foreach(void *rock, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *cbrock)
{
    struct quotalegacy *db = rock;
    struct kvmap keys;
    struct buf value = BUF_INITIALIZER;
    const char *data;
    size_t len;

    int r = list_keys(db, &keys);
    const struct kvmap_node *node = kvmap_seek(&keys, prefix, prefixlen, false);
    for (; !r && node; node = node->next[0]) {
        if (node->keylen < prefixlen || memcmp(node->key, prefix, prefixlen)) break;
        r = ql_fetch(db, node->key, node->keylen, &data, &len);
        if (r == CYRUSDB_NOTFOUND) r = 0; /* gone meanwhile */
        else if (!r) {
            buf_setmap(&value, data, len);
            r = cb(cbrock, node->key, node->keylen, buf_cstring(&value), value.len);
        }
    }
    buf_free(&value);
    kvmap_fini(&keys);
    return r;
}

static int ql_seek(void *rock, const char *key, size_t keylen, bool after, const char **foundkey, size_t *foundkeylen,
                   const char **data, size_t *datalen)
{
    struct quotalegacy *db = rock;
    struct kvmap keys;
    const char *d;
    size_t n;

    int r = list_keys(db, &keys);
    const struct kvmap_node *node = keylen ? kvmap_seek(&keys, key, keylen, after) : kvmap_first(&keys);
    if (!r) r = CYRUSDB_NOTFOUND;
    for (; r == CYRUSDB_NOTFOUND && node; node = node->next[0]) {
        buf_setmap(&db->key, node->key, node->keylen);
        r = ql_fetch(db, node->key, node->keylen, &d, &n);
    }
    kvmap_fini(&keys);
    if (r) return r;
    *foundkey = buf_cstring(&db->key);
    *foundkeylen = db->key.len;
    if (data) *data = d;
    if (datalen) *datalen = n;
    return 0;
}

static int ql_begin(void *rock, unsigned flags)
{
    struct quotalegacy *db = rock;
    db->intxn = true;
    db->shared = flags & CYRUSDB_SHARED;
    db->nosync = flags & CYRUSDB_NOSYNC;
    kvmap_init(&db->staged, cyrusdb_cmp_raw, false);
    return 0;
}

static int ql_commit(void *rock)
{
    struct quotalegacy *db = rock;
    int r = 0;
    for (const struct kvmap_node *node = kvmap_first(&db->staged); !r && node; node = node->next[0])
        r = change(db, node);
    forget(db);
    return r;
}

static void ql_abort(void *rock)
{
    forget(rock);
}

static int ql_store(void *rock, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite)
{
    struct quotalegacy *db = rock;
    struct buf path = BUF_INITIALIZER;
    const char *d;
    size_t n;

    if (db->shared) return CYRUSDB_READONLY;
    bool ok = key_path(db, key, keylen, &path);
    buf_free(&path);
    if (!ok) {
        xsyslog_errno(LOG_ERR, 0, "DBERROR: quota root can't be a file name", "root=<%.*s>", (int)keylen, key);
        return CYRUSDB_INTERNAL;
    }
    if (!overwrite) {
        int r = ql_fetch(db, key, keylen, &d, &n);
        if (r != CYRUSDB_NOTFOUND) return r ? r : CYRUSDB_EXISTS;
    }
    kvmap_set(&db->staged, key, keylen, data, datalen);
    return 0;
}

static int ql_delete(void *rock, const char *key, size_t keylen, bool force)
{
    struct quotalegacy *db = rock;
    const char *d;
    size_t n;

    if (db->shared) return CYRUSDB_READONLY;
    int r = force ? 0 : ql_fetch(db, key, keylen, &d, &n);
    if (!r) kvmap_set(&db->staged, key, keylen, NULL, 0);
    return r;
}

/* All of it: only whoever makes the database anew asks for that, and then key by key. */
static int ql_unlink(const char *fname)
{
    (void)fname;
    return CYRUSDB_NOTIMPLEMENTED;
}

const struct cyrusdb_backend cyrusdb_quotalegacy = {
    .name = "quotalegacy",
    .whole_values = true,
    .open = ql_open,
    .close = ql_close,
    .order = ql_order,
    .fetch = ql_fetch,
    .seek = ql_seek,
    .foreach = ql_foreach,
    .begin = ql_begin,
    .commit = ql_commit,
    .abort = ql_abort,
    .store = ql_store,
    .delete = ql_delete,
    .unlink = ql_unlink,
};
