/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_search -- finding keys, and stepping along list 0 (handbook 01 §2.5, 2.6)
 *
 * Every step must lead to a greater key: a damaged file can't make a search go round for ever.
 */
#include <config.h>

#include "twoskip.h"

#include <string.h>

#include "xsyslog.h"

static int bad_order(const struct twoskip *ts, uint64_t off)
{
    xsyslog_errno(LOG_ERR, 0, "DBERROR: twoskip out of order", "filename=<%s> offset=<%llX>", ts->fname,
                  (unsigned long long)off);
    return CYRUSDB_BADFORMAT;
}

/* The record behind `rec` in list n, DELETEs stepped over: 0, or NOTFOUND at the end. */
static int follow(struct twoskip *ts, const struct twoskip_record *rec, unsigned n, struct twoskip_record *next)
{
    uint64_t off = twoskip_next(ts, rec, n);
    if (!off) return CYRUSDB_NOTFOUND;
    int r = twoskip_read(ts, off, next);
    if (!r && !n && next->type == '-') {
        off = twoskip_ptr(next, 0);
        if (!off) return CYRUSDB_NOTFOUND;
        r = twoskip_read(ts, off, next);
    }
    if (!r && (next->type != '+' || next->level <= n)) r = bad_order(ts, off);
    return r;
}

int twoskip_find(struct twoskip *ts, const char *key, size_t keylen)
{
    struct twoskip_record rec, next;
    uint64_t beyond = 0; /* known not to be smaller than the key */

    ts->found.offset = 0;
    int r = twoskip_read(ts, TWOSKIP_DUMMY, &rec);
    if (r) return r;
    if (rec.type != '=') return bad_order(ts, TWOSKIP_DUMMY);

    for (int n = TWOSKIP_MAXLEVEL - 1; n >= 0; n--) {
        for (;;) {
            uint64_t off = twoskip_next(ts, &rec, (unsigned)n);
            if (!off || (off == beyond && n)) break;
            r = follow(ts, &rec, (unsigned)n, &next);
            if (r == CYRUSDB_NOTFOUND) break;
            if (r) return r;
            if (rec.keylen && ts->cmp(rec.key, rec.keylen, next.key, next.keylen) >= 0)
                return bad_order(ts, next.offset);
            int c = next.offset == beyond && !ts->found.offset ? 1 : ts->cmp(next.key, next.keylen, key, keylen);
            if (c < 0) {
                rec = next;
                continue;
            }
            beyond = next.offset;
            if (!c) ts->found = next;
            break;
        }
        ts->back[n] = rec.offset;
    }
    return 0;
}

int twoskip_step(struct twoskip *ts, const struct twoskip_record *rec, struct twoskip_record *next)
{
    int r = follow(ts, rec, 0, next);
    if (!r && rec->keylen && ts->cmp(rec->key, rec->keylen, next->key, next->keylen) >= 0)
        r = bad_order(ts, next->offset);
    return r;
}

int twoskip_seek(struct twoskip *ts, const char *key, size_t keylen, bool after, struct twoskip_record *rec)
{
    struct twoskip_record start;

    int r = twoskip_find(ts, key, keylen);
    if (r) return r;
    if (ts->found.offset && !after) {
        *rec = ts->found;
        return 0;
    }
    r = twoskip_read(ts, ts->found.offset ? ts->found.offset : ts->back[0], &start);
    return r ? r : twoskip_step(ts, &start, rec);
}
