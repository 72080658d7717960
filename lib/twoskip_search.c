/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_search -- finding keys, and stepping along list 0 (handbook 01 §2.5, 2.6)
 *
 * Every step must lead to a greater key: a damaged file can't make a search go round for ever.
 */
#include <config.h>

#include "twoskip.h"

#include <string.h>

#include "util.h"
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

/* Records with damaged keys that a search has met in list 0, in their order there. */
struct damaged {
    uint64_t off[16];
    size_t n;      /* may be more than there is room for */
    size_t before; /* of these, those that lie before the place */
};

/*
 * The same, but a record whose key can't be trusted is stepped over. Its place in the lists does not depend on it: its head is
 * whole.
 */
static int follow_whole(struct twoskip *ts, const struct twoskip_record *rec, unsigned n,
                        struct twoskip_record *next, struct damaged *bad)
{
    struct twoskip_record at = *rec;

    for (;;) {
        int r = follow(ts, &at, n, next);
        if (r || twoskip_is_whole(ts, next)) return r;
        if (!n && bad->n++ < array_size(bad->off)) bad->off[bad->n - 1] = next->offset;
        ts->gap = true;
        at = *next;
    }
}

/* Whatever their keys are, in every list the place is behind those damaged records that list 0 has before it. */
static int place_behind(struct twoskip *ts, const struct damaged *bad)
{
    struct twoskip_record rec, next;

    ts->unplaced = bad->n > array_size(bad->off);
    for (unsigned n = 0; !ts->unplaced && n < TWOSKIP_MAXLEVEL; n++) {
        for (size_t i = 0; i < bad->before; i++) {
            int r = twoskip_read(ts, ts->back[n], &rec);
            if (!r) r = follow(ts, &rec, n, &next);
            if (r == CYRUSDB_NOTFOUND) break;
            if (r) return r;
            if (next.offset == bad->off[i]) ts->back[n] = next.offset;
        }
    }
    return 0;
}

int twoskip_find(struct twoskip *ts, const char *key, size_t keylen)
{
    struct twoskip_record rec, next;
    struct damaged bad = { .n = 0 };
    uint64_t beyond = 0; /* known not to be smaller than the key */

    ts->found.offset = 0;
    ts->gap = ts->unplaced = false;
    int r = twoskip_read(ts, TWOSKIP_DUMMY, &rec);
    if (r) return r;
    if (rec.type != '=') return bad_order(ts, TWOSKIP_DUMMY);

    for (int n = TWOSKIP_MAXLEVEL - 1; n >= 0; n--) {
        for (;;) {
            uint64_t off = twoskip_next(ts, &rec, (unsigned)n);
            if (!off || (off == beyond && n)) break;
            r = follow_whole(ts, &rec, (unsigned)n, &next, &bad);
            if (r == CYRUSDB_NOTFOUND) break;
            if (r) return r;
            if (rec.keylen && ts->cmp(rec.key, rec.keylen, next.key, next.keylen) >= 0)
                return bad_order(ts, next.offset);
            int c = next.offset == beyond && !ts->found.offset ? 1 : ts->cmp(next.key, next.keylen, key, keylen);
            if (c < 0) {
                rec = next;
                bad.before = bad.n;
                continue;
            }
            beyond = next.offset;
            if (!c) ts->found = next;
            break;
        }
        ts->back[n] = rec.offset;
    }
    if (ts->found.offset) bad.before = bad.n;
    r = ts->gap ? place_behind(ts, &bad) : 0;
    ts->gap = bad.n > bad.before;
    return r;
}

static int unsure(const struct twoskip *ts)
{
    xsyslog_errno(LOG_ERR, 0, "DBERROR: twoskip key may be in a damaged record", "filename=<%s>", ts->fname);
    return CYRUSDB_BADFORMAT;
}

int twoskip_find_live(struct twoskip *ts, const char *key, size_t keylen)
{
    int r = twoskip_find(ts, key, keylen);

    if (r || ts->found.offset) return r;
    return ts->gap ? unsure(ts) : CYRUSDB_NOTFOUND;
}

int twoskip_find_place(struct twoskip *ts, const char *key, size_t keylen)
{
    int r = twoskip_find(ts, key, keylen);

    return !r && ts->unplaced ? unsure(ts) : r;
}

int twoskip_step(struct twoskip *ts, const struct twoskip_record *rec, struct twoskip_record *next)
{
    int r = follow(ts, rec, 0, next);
    if (!r && rec->keylen && twoskip_is_whole(ts, rec) && twoskip_is_whole(ts, next) && ts->cmp(rec->key, rec->keylen, next->key, next->keylen) >= 0)
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
