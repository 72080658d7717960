/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DLIST_SCAN_H
#define INCLUDED_DLIST_SCAN_H
/*
 * dlist_scan -- read dlist text item by item, without building a tree (handbook 01 §1.9)
 *
 * For the records that every delivery and every LIST reads: mailboxes.db,
 * conversations, quota, cyrus.header. Accepts what 3.6.1 accepts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "util.h"

enum dlist_token {
    DLS_END,   /* no more bytes */
    DLS_ERROR, /* not a dlist; stays so */
    DLS_NIL,
    DLS_STRING, /* atom, quoted or literal: s, len */
    DLS_LIST,   /* "(": items follow, then DLS_CLOSE */
    DLS_KVLIST, /* "%(": keys and values follow, then DLS_CLOSE */
    DLS_CLOSE   /* ")" */
};

struct dlist_scan {
    const char *p, *end;
    unsigned depth; /* lists that are open */
    bool failed;
    struct buf scratch; /* a quoted string with backslashes */
    const char *s;      /* of the last DLS_STRING: valid until the next step, not NUL-terminated */
    size_t len;
};

void dlist_scan_init(struct dlist_scan *sc, const char *base, size_t len);
void dlist_scan_fini(struct dlist_scan *sc);
enum dlist_token dlist_scan_next(struct dlist_scan *sc);
/* Read past the value that began with token t (a whole list). False: error. */
bool dlist_scan_skip(struct dlist_scan *sc, enum dlist_token t);
/* The next key of an open kvlist: true with sc->s; false at its end or on an error (sc->failed). */
bool dlist_scan_key(struct dlist_scan *sc);
bool dlist_scan_iskey(const struct dlist_scan *sc, const char *key);
/* The next item must be a list or kvlist and is entered. */
bool dlist_scan_enter(struct dlist_scan *sc, enum dlist_token want);
/* The next item as a number, a fresh string (NIL: NULL), a guid ... False (failed) for anything
 * else. */
bool dlist_scan_u32(struct dlist_scan *sc, uint32_t *v); /* cut to 32 bits, as 3.6.1 does */
bool dlist_scan_u64(struct dlist_scan *sc, uint64_t *v);
bool dlist_scan_i64(struct dlist_scan *sc, int64_t *v);
bool dlist_scan_str(struct dlist_scan *sc, char **v); /* frees the old *v */
/* The list that is open ends here, and (for the outermost) only white space follows. */
bool dlist_scan_close(struct dlist_scan *sc);
bool dlist_scan_atend(struct dlist_scan *sc);

#endif
