/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYRUSDB_SNAPSHOT_H
#define INCLUDED_CYRUSDB_SNAPSHOT_H
/*
 * cyrusdb_snapshot -- backends whose file is read as a whole and replaced as a whole
 *
 * The content is kept in memory as long as the file has not changed. A transaction changes the
 * memory; its commit writes FILE.NEW, syncs it and renames it over FILE, under the lock of FILE.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buf.h"
#include "cyrusdb_backend.h"
#include "kvmap.h"

struct snapshot_format {
    const char *name;
    bool lock_to_read; /* other programs change the file in place */
    bool sum;          /* nobody does, and records have no sums: the file gets one (filesum.h) */
    kvmap_cmp *(*order)(unsigned flags);
    /* Adds all records of the bytes; 0 or BADFORMAT (logged unless it is another kind of file). */
    int (*parse)(const char *fname, const char *base, size_t len, struct kvmap *map);
    uint64_t max_size; /* 0: none */
    void (*write)(const struct kvmap *map, struct buf *out);
};

struct snapshot {
    const struct snapshot_format *format;
    char *fname;
    int fd; /* of the file that was read: its inode can't be used again */
    unsigned flags;
    bool loaded, intxn, shared, changed;
    struct stat st;
    struct kvmap map;
};

int snapshot_open(const struct snapshot_format *format, const char *fname, unsigned flags, void **dbp);
void snapshot_close(void *db);
bool snapshot_is_current(void *db, const struct stat *st);
int snapshot_fetch(void *db, const char *key, size_t keylen, const char **data, size_t *datalen);
int snapshot_seek(void *db, const char *key, size_t keylen, bool after, const char **foundkey, size_t *foundkeylen,
                  const char **data, size_t *datalen);
int snapshot_begin(void *db, unsigned flags);
int snapshot_commit(void *db);
void snapshot_abort(void *db);
int snapshot_store(void *db, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite);
int snapshot_delete(void *db, const char *key, size_t keylen, bool force);
/* Reads it all. */
int snapshot_consistent(void *db);

#define SNAPSHOT_BACKEND(opener, fmt)                                                                              \
    .open = opener, .close = snapshot_close, .is_current = snapshot_is_current, .order = (fmt),                    \
    .fetch = snapshot_fetch, .seek = snapshot_seek, .begin = snapshot_begin, .commit = snapshot_commit,            \
    .abort = snapshot_abort, .store = snapshot_store, .delete = snapshot_delete, .consistent = snapshot_consistent

#endif
