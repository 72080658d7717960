/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrusdb_salvage -- the records that can be read of a damaged database
 *
 * The bytes are taken as they are under a shared lock. Nothing is repaired, no pointer is followed, and the right
 * to read is enough. What is no record is told with its offset; a whole file gives what cyrusdb_foreach would. A file
 * that is made anew of them is replaced under the exclusive lock: whoever waits to write to it opens the new one.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cyrusdb_backend.h"
#include "diskio.h"
#include "filesum.h"
#include "kvmap.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const struct cyrusdb_backend *const backends[] = { &cyrusdb_twoskip, &cyrusdb_skiplist,
                                                          &cyrusdb_flat };

static const struct cyrusdb_backend *find_backend(const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (!strcmp(backends[i]->name, name)) return backends[i];
    }
    return NULL;
}

void cyrusdb_bad(struct cyrusdb_bad *bad, uint64_t off, uint64_t len, const char *what)
{
    if (bad->what && !strcmp(bad->what, what) && bad->off + bad->len == off) {
        bad->len += len;
        return;
    }
    if (bad->what && bad->to->bad) bad->to->bad(bad->to->rock, bad->off, bad->len, bad->what);
    bad->off = off;
    bad->len = len;
    bad->what = what;
}

static void tell_last(struct cyrusdb_bad *bad)
{
    if (bad->what && bad->to->bad) bad->to->bad(bad->to->rock, bad->off, bad->len, bad->what);
}

/* ---- the bytes ---- */

/* A file that is locked, and what is known of it. */
struct salvage {
    const struct cyrusdb_backend *be;
    const char *fname;
    unsigned flags;
    int fd;
    struct diskio_map bytes;
};

static int salvage_end(struct salvage *s, int r)
{
    diskio_map_free(&s->bytes);
    if (s->fd >= 0) diskio_close(s->fd);
    return r;
}

static int map_locked(struct salvage *s, int openflags, enum diskio_lock lock)
{
    struct stat st;

    s->fd = diskio_open(s->fname, openflags, 0);
    if (s->fd < 0) return s->fd;
    int r = diskio_lock_reopen(&s->fd, s->fname, openflags, lock, 0, NULL, &st);
    if (!r && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > SIZE_MAX)) r = -EINVAL;
    return r ? r : diskio_map_refresh(&s->bytes, s->fd, (size_t)st.st_size);
}

/* The file that the path names, locked: shared, or to be replaced. After an error there is nothing to end. */
static int salvage_begin(struct salvage *s, const char *backend, const char *fname, unsigned flags, bool replace)
{
    const char *magic = cyrusdb_detect(fname);

    *s = (struct salvage){ .be = find_backend(magic ? magic : backend), .fname = fname, .flags = flags, .fd = -1,
                           .bytes = DISKIO_MAP_INITIALIZER };
    if (!s->be) return CYRUSDB_NOTIMPLEMENTED;
    int r = replace ? map_locked(s, O_RDWR, DISKIO_LOCK_EXCLUSIVE) : map_locked(s, O_RDONLY, DISKIO_LOCK_SHARED);
    if (r && r != -ENOENT) xsyslog_errno(LOG_ERR, r, "DBERROR: can't read database", "filename=<%s>", fname);
    return r ? salvage_end(s, r == -ENOENT ? CYRUSDB_NOTFOUND : cyrusdb_error(r)) : 0;
}

static int salvage_records(const struct salvage *s, const struct cyrusdb_salvage *to)
{
    struct cyrusdb_bad bad = { .to = to };
    struct kvmap map;
    int r = 0;

    kvmap_init(&map, s->be->order(s->flags), false);
    s->be->salvage(s->bytes.base ? s->bytes.base : "", s->bytes.len, &map, &bad);
    if (filesum_iswrong(s->fd, s->bytes.base, s->bytes.len)) cyrusdb_bad(&bad, 0, s->bytes.len, "the sum of the file is wrong");
    tell_last(&bad);
    for (const struct kvmap_node *node = kvmap_first(&map); !r && node && to->record;
         node = node->next[0])
        r = to->record(to->rock, node->key, node->keylen, node->data ? node->data : "",
                       node->datalen);
    kvmap_fini(&map);
    return r;
}

int cyrusdb_salvage(const char *backend, const char *fname, unsigned flags,
                    const struct cyrusdb_salvage *to)
{
    struct salvage s;
    int r = salvage_begin(&s, backend, fname, flags, false);

    return r ? r : salvage_end(&s, salvage_records(&s, to));
}

/* ---- making it anew ---- */

static int store_record(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    return cyrusdb_store(rock, key, keylen, data, datalen);
}

static int write_fresh(const struct salvage *s, const char *backend, const char *fresh)
{
    struct cyrusdb_salvage to = { .record = store_record };
    struct db *db;
    int r = cyrusdb_open(backend, fresh, (s->flags & CYRUSDB_MBOXSORT) | CYRUSDB_CREATE, &db);

    if (r) return r;
    to.rock = db;
    r = cyrusdb_begin(db, 0);
    if (!r) r = salvage_records(s, &to);
    if (!r) r = cyrusdb_commit(db);
    cyrusdb_close(db);
    return r;
}

/* Another name for the old bytes, one that is free; then the new file has theirs. */
static int replace(const char *fname, const char *fresh, char **kept)
{
    int r = -EEXIST;

    for (unsigned n = 1; r == -EEXIST; n++) {
        free(*kept);
        *kept = n == 1 ? xasprintf("%s.damaged", fname) : xasprintf("%s.damaged-%u", fname, n);
        r = diskio_link(fname, *kept);
    }
    if (!r) r = diskio_rename(fresh, fname);
    if (!r) r = diskio_sync_parent(fname);
    if (r) xsyslog_errno(LOG_ERR, r, "DBERROR: can't replace database", "filename=<%s> kept=<%s>", fname, *kept);
    return r ? cyrusdb_error(r) : 0;
}

int cyrusdb_remake(const char *backend, const char *fname, unsigned flags, char **kept)
{
    struct salvage s;

    *kept = NULL;
    cyrusdb_done(); /* a descriptor of the file that is closed later would take the lock along */
    int r = salvage_begin(&s, backend, fname, flags, true);
    if (r) return r;
    char *fresh = xasprintf("%s.NEW", fname);
    diskio_unlink_quiet(fresh);
    r = write_fresh(&s, backend, fresh);
    if (!r) r = replace(fname, fresh, kept);
    if (r) {
        diskio_unlink_quiet(fresh);
        free(*kept);
        *kept = NULL;
    }
    free(fresh);
    return salvage_end(&s, r);
}
