/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYRUSDB_BACKEND_H
#define INCLUDED_CYRUSDB_BACKEND_H
/*
 * cyrusdb_backend -- what a kind of database file has to be able to do
 *
 * Functions return as those of cyrusdb.h. `db` is the backend's own handle. cyrusdb.c sees
 * to references, transactions around single changes, and conversions.
 */
#include <sys/stat.h>

#include "cyrusdb.h"

struct kvmap;

/* Ranges of a file that are no records, put together where they touch. */
struct cyrusdb_bad {
    const struct cyrusdb_salvage *to;
    uint64_t off, len;
    const char *what; /* NULL: none yet */
};
void cyrusdb_bad(struct cyrusdb_bad *bad, uint64_t off, uint64_t len, const char *what);

struct cyrusdb_backend {
    const char *name;
    bool has_marks;
    bool whole_values; /* a change needs nothing of what was there: with the journal it needs no sync */
    int (*open)(const char *fname, unsigned flags, void **dbp);
    void (*close)(void *db);
    /* Is the open file still the one that the path names? NULL: nothing to ask. */
    bool (*is_current)(void *db, const struct stat *st);
    cyrusdb_cmp *(*order)(unsigned flags);
    int (*fetch)(void *db, const char *key, size_t keylen, const char **data, size_t *datalen);
    /* after: the first key > key, else >= key; keylen 0: the first */
    int (*seek)(void *db, const char *key, size_t keylen, bool after, const char **foundkey, size_t *foundkeylen,
                const char **data, size_t *datalen);
    /* NULL: cyrusdb.c makes it of seek */
    int (*foreach)(void *db, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *rock);
    int (*freeze)(void *db, bool on); /* NULL: every read looks for itself */
    int (*begin)(void *db, unsigned flags);
    int (*commit)(void *db);
    void (*abort)(void *db);
    int (*flush)(void *db); /* NULL: nothing to do */
    int (*store)(void *db, const char *key, size_t keylen, const char *data, size_t datalen, bool overwrite);
    int (*delete)(void *db, const char *key, size_t keylen, bool force);
    /* NULL: NOTIMPLEMENTED, and never due */
    int (*repack)(void *db);
    bool (*repack_due)(void *db);
    int (*consistent)(void *db);
    int (*dump)(void *db, unsigned detail, struct buf *out);
    int (*get_mark)(void *db, struct cyrusdb_mark *mark);
    int (*get_state)(void *db, bool known, struct cyrusdb_state *state);
    int (*get_repack)(void *db, struct cyrusdb_state *from, struct cyrusdb_state *to);
    int (*unlink)(const char *fname); /* NULL: unlink(2) */
    /* Puts all records that can be read into the map (which copies them); NULL: it can't. */
    void (*salvage)(const char *base, size_t len, struct kvmap *map, struct cyrusdb_bad *bad);
};

extern const struct cyrusdb_backend cyrusdb_twoskip;
extern const struct cyrusdb_backend cyrusdb_skiplist;
extern const struct cyrusdb_backend cyrusdb_flat;
extern const struct cyrusdb_backend cyrusdb_quotalegacy;

/* CYRUSDB_* of a -errno. */
int cyrusdb_error(int r);
/* The "mbox" order (handbook 01 §1.7), and plain bytes. */
int cyrusdb_cmp_mbox(const char *a, size_t alen, const char *b, size_t blen);
int cyrusdb_cmp_raw(const char *a, size_t alen, const char *b, size_t blen);
int twoskip_rewind(const char *fname, const struct cyrusdb_mark *marks, unsigned n, bool *cut);

#endif
