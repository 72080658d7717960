/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_write -- a transaction of a twoskip file (handbook 01 §2.6, 2.7)
 *
 * Until the commit all of it is in memory: new records in ts->tail, new heads of older records in
 * ts->heads. The commit writes DIRTY, the tail with its COMMIT record, the heads, and the header
 * with DIRTY off, and syncs between them as §2.7 has it (not with NOSYNC: then the
 * journal can cut the file back). A search sees the changes through twoskip_read.
 */
#include <config.h>

#include "twoskip.h"

#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "hash.h"
#include "makeuuid.h"
#include "mutant.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Heads so close together that one write takes them all, and how much at most. */
#define HEAD_GAP 512u
#define HEAD_RUN 65536u

static const uint8_t *scripted_levels;
static size_t scripted_left;

void twoskip_script_levels(const uint8_t *levels, size_t n)
{
    scripted_levels = levels;
    scripted_left = n;
}

static unsigned draw_level(struct twoskip *ts)
{
    if (scripted_left) {
        scripted_left--;
        return *scripted_levels++;
    }
    uint64_t x = ts->random;
    if (!x) random_bytes(&x, sizeof(x));
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    ts->random = x;
    unsigned level = 1;
    for (x >>= 8; level < TWOSKIP_MAXLEVEL && (x & 1); x >>= 1) level++;
    return level;
}

/* ---- changed heads ---- */

static struct twoskip_changed *head_slot(const struct twoskip_heads *heads, uint64_t off)
{
    size_t i = (size_t)(off * 0x9E3779B97F4A7C15u >> 20);
    for (;; i++) {
        struct twoskip_changed *slot = &heads->slots[i & (heads->nslots - 1)];
        if (!slot->offset || slot->offset == off) return slot;
    }
}

const char *twoskip_head_of(const struct twoskip *ts, uint64_t off, const char *ondisk)
{
    const struct twoskip_changed *slot = head_slot(&ts->heads, off);
    return slot->offset ? ts->heads.bytes.s + slot->pos : ondisk;
}

static void grow_heads(struct twoskip_heads *heads)
{
    struct twoskip_heads old = *heads;
    heads->nslots = old.nslots ? old.nslots * 2 : 64;
    heads->slots = xcalloc(heads->nslots, sizeof(*heads->slots));
    for (size_t i = 0; i < old.nslots; i++) {
        if (old.slots[i].offset) *head_slot(heads, old.slots[i].offset) = old.slots[i];
    }
    free(old.slots);
}

static void clear_heads(struct twoskip_heads *heads)
{
    xzfree(heads->slots);
    heads->nslots = heads->count = 0;
    buf_free(&heads->bytes);
}

/* The bytes of a record's head in memory, for changing. */
static char *writable_head(struct twoskip *ts, const struct twoskip_record *rec)
{
    struct twoskip_heads *heads = &ts->heads;
    if (rec->offset >= ts->tailbase) return ts->tail.s + (rec->offset - ts->tailbase);

    if (heads->count * 2 >= heads->nslots) grow_heads(heads);
    struct twoskip_changed *slot = head_slot(heads, rec->offset);
    if (!slot->offset) {
        slot->offset = rec->offset;
        slot->len = rec->headlen;
        slot->pos = (uint32_t)heads->bytes.len;
        buf_appendmap(&heads->bytes, rec->head, rec->headlen);
        heads->count++;
    }
    return heads->bytes.s + slot->pos;
}

/* ---- to the file ---- */

int twoskip_put_header(struct twoskip *ts)
{
    char base[TWOSKIP_HEADER];
    twoskip_header_write(&ts->header, base);
    int r = diskio_pwrite(ts->fd, base, sizeof(base), 0);
    return r ? twoskip_ioerror(ts, r, "DBERROR: twoskip header can't be written") : 0;
}

static int sync_file(struct twoskip *ts)
{
    if (ts->nosync) return 0;
    int r = diskio_fdatasync(ts->fd);
    return r ? twoskip_ioerror(ts, r, "DBERROR: twoskip sync failed") : 0;
}

static int set_dirty(struct twoskip *ts)
{
    if (ts->dirty) return 0;
    ts->header.flags |= TWOSKIP_DIRTY;
    int r = twoskip_put_header(ts);
    if (!r) ts->dirty = true;
    return r ? r : sync_file(ts);
}

static int cmp_offset(const void *a, const void *b)
{
    uint64_t x = ((const struct twoskip_changed *)a)->offset, y = ((const struct twoskip_changed *)b)->offset;
    return x < y ? -1 : x > y;
}

/*
 * The first of n heads, in rising order, and those close behind it, with one write: what lies between is written as
 * it is. *run: how many.
 */
static int put_run(struct twoskip *ts, const struct twoskip_changed *slots, size_t n, size_t *run)
{
    struct buf bytes = BUF_INITIALIZER;
    uint64_t start = slots->offset, end = start;

    for (*run = 0; *run < n; ++*run) {
        const struct twoskip_changed *slot = &slots[*run];
        if (*run && (slot->offset - end > HEAD_GAP || end - start > HEAD_RUN)) break;
        buf_appendmap(&bytes, ts->map.base + end, (size_t)(slot->offset - end));
        buf_appendmap(&bytes, ts->heads.bytes.s + slot->pos, slot->len);
        end = slot->offset + slot->len;
    }
    int r = diskio_pwrite(ts->fd, bytes.s, bytes.len, start);
    buf_free(&bytes);
    return r;
}

static int put_heads(struct twoskip *ts)
{
    struct twoskip_heads *heads = &ts->heads;
    int r = 0;

    size_t n = 0;
    for (size_t i = 0; i < heads->nslots; i++) {
        if (heads->slots[i].offset) heads->slots[n++] = heads->slots[i];
    }
    qsort(heads->slots, n, sizeof(*heads->slots), cmp_offset);
    for (size_t i = 0, run; !r && i < n; i += run) r = put_run(ts, &heads->slots[i], n - i, &run);
    clear_heads(heads);
    return r ? twoskip_ioerror(ts, r, "DBERROR: twoskip record can't be written") : 0;
}

/* All that is in memory; what follows is appended behind it. */
int twoskip_flush(struct twoskip *ts)
{
    int r = set_dirty(ts);
    if (r) return r;
    r = diskio_pwrite(ts->fd, ts->tail.s, ts->tail.len, ts->tailbase);
    if (r) return twoskip_ioerror(ts, r, "DBERROR: twoskip record can't be written");
    r = put_heads(ts);
    if (r) return r;
    ts->tailbase += ts->tail.len;
    buf_reset(&ts->tail);
    return twoskip_refresh(ts, ts->tailbase);
}

/* ---- changes ---- */

/* Appends a record; its offset. */
static uint64_t append(struct twoskip *ts, char type, unsigned level, const uint64_t *ptrs, const char *key,
                       size_t keylen, const char *val, size_t vallen)
{
    static const char nul[8];
    char head[TWOSKIP_HEADMAX];
    size_t pad = roundup2(keylen + vallen, 8) - (keylen + vallen);

    uint32_t crc = crc32_update(crc32_update(crc32_update(0, key, keylen), val, vallen), nul, pad);
    uint32_t len = twoskip_make_head(type, level, keylen, vallen, ptrs, crc, head);
    twoskip_put_blank(&ts->tail, twoskip_padding(ts->end, len));
    uint64_t off = ts->tailbase + ts->tail.len;
    buf_appendmap(&ts->tail, head, len);
    buf_appendmap(&ts->tail, key, keylen);
    buf_appendmap(&ts->tail, val, vallen);
    buf_appendmap(&ts->tail, nul, pad);
    ts->end = ts->tailbase + ts->tail.len;
    return off;
}

/* Slot of list 0 that may be overwritten: the committed successor stays in the other. */
static unsigned free_slot(const struct twoskip *ts, const struct twoskip_record *rec)
{
    uint64_t a = twoskip_ptr(rec, 0), b = twoskip_ptr(rec, 1), committed = ts->header.current_size;
    if (a >= committed) return 0;
    if (b >= committed) return 1;
    return a < b ? 0 : 1;
}

/* The back records lead to next[n] in lists 0 .. n-1. Lists of one record are set in one go. */
static int stitch(struct twoskip *ts, unsigned n, const uint64_t *next)
{
    for (unsigned i = 0; i < n;) {
        struct twoskip_record rec;
        int r = twoskip_read(ts, ts->back[i], &rec);
        if (r) return r;
        unsigned slot = i ? i + 1 : free_slot(ts, &rec);
        char *head = writable_head(ts, &rec);
        twoskip_set_ptr(&rec, head, slot, next[i]);
        for (i++; i < n && ts->back[i] == rec.offset; i++) twoskip_set_ptr(&rec, head, i + 1, next[i]);
        twoskip_seal_head(head, rec.headlen);
    }
    return 0;
}

static int spill(struct twoskip *ts)
{
    return ts->tail.len > TWOSKIP_SPILL ? twoskip_flush(ts) : 0;
}

int twoskip_txn_begin(struct twoskip *ts, bool nosync)
{
    ts->intxn = true;
    ts->nosync = nosync;
    ts->dirty = false;
    ts->num = ts->header.num_records;
    ts->tailbase = ts->end = ts->header.current_size;
    buf_reset(&ts->tail);
    return 0;
}

static int store(struct twoskip *ts, const char *key, size_t keylen, const char *val, size_t vallen, bool overwrite)
{
    uint64_t ptrs[TWOSKIP_MAXLEVEL + 1] = { 0 }, next[TWOSKIP_MAXLEVEL];
    struct twoskip_record rec, old;

    int r = twoskip_find_place(ts, key, keylen);
    if (r) return r;
    old = ts->found;
    if (old.offset) {
        if (!overwrite) return CYRUSDB_EXISTS;
        if (old.vallen == vallen && !memcmp(old.val, val, vallen) && !memcmp_len(old.key, old.keylen, key, keylen))
            return 0;
    }
    unsigned oldlevel = old.offset ? old.level : 0, level = draw_level(ts), n = cyr_max(level, oldlevel);
    for (unsigned i = 0; i < n; i++) {
        if (i >= oldlevel) {
            r = twoskip_read(ts, ts->back[i], &rec);
            if (r) return r;
        }
        next[i] = twoskip_next(ts, i < oldlevel ? &old : &rec, i);
    }
    for (unsigned i = 0; i < level; i++) ptrs[i + 1] = next[i];

    uint64_t off = append(ts, '+', level, ptrs, key, keylen, val, vallen);
    for (unsigned i = 0; i < level; i++) next[i] = off;
    r = stitch(ts, n, next);
    if (!old.offset) ts->num++;
    return r ? r : spill(ts);
}

static bool in_tail(const struct twoskip *ts, const char *p)
{
    return ts->tail.len && (uintptr_t)p >= (uintptr_t)ts->tail.s && (uintptr_t)p < (uintptr_t)ts->tail.s + ts->tail.len;
}

int twoskip_txn_store(struct twoskip *ts, const char *key, size_t keylen, const char *val, size_t vallen,
                      bool overwrite)
{
    if (!in_tail(ts, key) && !in_tail(ts, val)) return store(ts, key, keylen, val, vallen, overwrite);

    /* Fetched from this very transaction: the tail moves when it grows. */
    char *k = xmemdup(key, keylen), *v = xmemdup(val, vallen);
    int r = store(ts, k, keylen, v, vallen, overwrite);
    free(k);
    free(v);
    return r;
}

int twoskip_txn_delete(struct twoskip *ts, const char *key, size_t keylen, bool force)
{
    uint64_t next[TWOSKIP_MAXLEVEL], live = 0;
    struct twoskip_record old, succ;

    int r = twoskip_find_place(ts, key, keylen);
    if (r) return r;
    if (!ts->found.offset) return force ? 0 : CYRUSDB_NOTFOUND;
    old = ts->found;

    r = twoskip_step(ts, &old, &succ);
    if (!r) live = succ.offset;
    if (r && r != CYRUSDB_NOTFOUND) return r;
    unsigned level = old.level;
    for (unsigned i = 1; i < level; i++) next[i] = twoskip_next(ts, &old, i);
    next[0] = append(ts, '-', 0, &live, NULL, 0, NULL, 0);
    r = stitch(ts, level, next);
    ts->num--;
    return r ? r : spill(ts);
}

/* ---- end ---- */

static void forget(struct twoskip *ts)
{
    clear_heads(&ts->heads);
    buf_free(&ts->tail);
    ts->intxn = ts->shared = ts->nosync = ts->dirty = false;
    ts->tailbase = ts->end = ts->header.current_size;
}

int twoskip_txn_commit(struct twoskip *ts)
{
    uint64_t start = ts->header.current_size;
    int r = 0;

    if (ts->end > start || ts->heads.count) {
        append(ts, '$', 0, &start, NULL, 0, NULL, 0);
        r = twoskip_flush(ts);
        if (!r && !mutant_is("twoskip-header-first")) r = sync_file(ts);
        if (!r) {
            struct twoskip_header old = ts->header;
            ts->header.current_size = ts->end;
            ts->header.num_records = ts->num;
            ts->header.flags &= ~TWOSKIP_DIRTY;
            r = twoskip_put_header(ts);
            if (!r) r = sync_file(ts);
            if (r) ts->header = old; /* cut back below */
        }
    }
    if (r)
        twoskip_txn_abort(ts);
    else
        forget(ts);
    return r;
}

void twoskip_txn_abort(struct twoskip *ts)
{
    bool written = ts->dirty;
    forget(ts);
    if (!written) {
        ts->header.flags &= ~TWOSKIP_DIRTY;
        return;
    }
    ts->header.flags |= TWOSKIP_DIRTY;
    twoskip_recover(ts); /* an error is logged, and found again by the next who locks */
}
