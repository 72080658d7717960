/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_replay -- the content of a twoskip file as its log tells it (handbook 01 §2.8)
 *
 * No pointer of a list is trusted. Records are taken in file order: a RECORD sets its key; a DELETE
 * names the live record behind the one it removes, so it removes the greatest smaller key. A COMMIT
 * ends a transaction; what stands behind the last one never happened.
 *
 * In a damaged file a record may be missing, and then the greatest smaller key may be the wrong
 * one. But a record that was removed has no pointer beyond its DELETE, and one that stayed in front of it
 * has one. So the right one is known, or the deletion is left out and counted.
 */
#include <config.h>

#include "twoskip.h"

#include "util.h"

struct scan {
    struct twoskip_replay *rp;
    const char *base;
    uint64_t end;
    bool skip_damaged;
};

static void apply_record(struct scan *scan, const struct twoskip_record *rec)
{
    struct kvmap_node *node = kvmap_set(&scan->rp->live, rec->key, rec->keylen, rec->val, rec->vallen);
    node->key = rec->key;
    node->keylen = rec->keylen;
    node->number = rec->offset;
    scan->rp->records++;
}

static bool was_removed_by(const struct scan *scan, const struct kvmap_node *node, uint64_t del)
{
    struct twoskip_record rec;
    if (twoskip_parse(scan->base, scan->end, node->number, &rec)) return false;
    for (unsigned i = 0; i < twoskip_nptrs(&rec); i++) {
        if (twoskip_ptr(&rec, i) >= del) return false;
    }
    return true;
}

static void apply_delete(struct scan *scan, const struct twoskip_record *rec)
{
    struct twoskip_replay *rp = scan->rp;
    struct twoskip_record succ = { .key = NULL };
    uint64_t off = twoskip_ptr(rec, 0);

    bool known = !off || (off % 8 == 0 && twoskip_parse(scan->base, scan->end, off, &succ) >= 0 && succ.type == '+');
    struct kvmap_node *node = known ? kvmap_before(&rp->live, succ.key, succ.keylen) : NULL;
    if (node && rp->damaged && !was_removed_by(scan, node, rec->offset)) node = NULL;
    if (node)
        kvmap_remove(&rp->live, node->key, node->keylen);
    else
        rp->damaged++;
}

/* One transaction [from, to) whose records are known to be whole. */
static void apply_txn(struct scan *scan, uint64_t from, uint64_t to)
{
    struct twoskip_record rec;

    for (uint64_t off = from; off < to; off += rec.size) {
        while (off < to && twoskip_is_blank(scan->base + off)) off += 8;
        if (off >= to || twoskip_parse(scan->base, scan->end, off, &rec) < 0) return;
        if (rec.type == '+') apply_record(scan, &rec);
        if (rec.type == '-') apply_delete(scan, &rec);
    }
}

int twoskip_replay(struct twoskip_replay *rp, kvmap_cmp *cmp, const char *base, uint64_t end, bool skip_damaged)
{
    struct scan scan = { .rp = rp, .base = base, .end = end, .skip_damaged = skip_damaged };
    struct twoskip_record rec;
    uint64_t off = TWOSKIP_DUMMY, start = off;
    bool bad = false;

    *rp = (struct twoskip_replay){ 0 };
    kvmap_init(&rp->live, cmp, true);
    while (off < end) {
        if (end - off >= 8 && twoskip_is_blank(base + off)) {
            off += 8;
            continue;
        }
        int r = twoskip_parse(base, end, off, &rec);
        if (r < 0) {
            if (!skip_damaged) return CYRUSDB_BADFORMAT;
            rp->damaged++;
            bad = true;
            off += 8;
            continue;
        }
        if (r) rp->badheads++;
        off += rec.size;
        if (rec.type != '$') continue;
        if (!bad) apply_txn(&scan, start, off);
        bad = false;
        start = off;
    }
    rp->open = start < end;
    /* Files of other writers may have no COMMIT at all (§2.12). */
    if (rp->open && start == TWOSKIP_DUMMY && !bad) {
        apply_txn(&scan, start, end);
        rp->open = false;
    }
    return 0;
}

void twoskip_replay_fini(struct twoskip_replay *rp)
{
    kvmap_fini(&rp->live);
}

/* ---- what can be read of a damaged file ---- */

/* Where the records end; *dirty: the header says that a transaction was under way. */
static uint64_t salvage_header(const char *base, uint64_t len, bool *dirty, struct cyrusdb_bad *bad)
{
    struct twoskip_header header;

    *dirty = false;
    if (len < TWOSKIP_HEADER || twoskip_header_parse("(salvage)", base, (size_t)len, &header)) {
        cyrusdb_bad(bad, 0, len < TWOSKIP_HEADER ? len : TWOSKIP_HEADER, "no twoskip header");
        return len;
    }
    *dirty = header.flags & TWOSKIP_DIRTY;
    if (header.current_size <= len) return header.current_size;
    cyrusdb_bad(bad, len, header.current_size - len, "the file is cut off");
    return len;
}

void twoskip_salvage(const char *base, size_t len, struct kvmap *map, struct cyrusdb_bad *bad)
{
    struct twoskip_replay rp = { 0 };
    struct scan scan = { .rp = &rp, .base = base };
    struct twoskip_record rec;
    bool dirty;

    kvmap_init(&rp.live, map->cmp, true);
    scan.end = salvage_header(base, len, &dirty, bad);
    for (uint64_t off = TWOSKIP_DUMMY; off < scan.end; off += rec.size) {
        rec.size = 8;
        if (scan.end - off >= 8 && twoskip_is_blank(base + off)) continue;
        int r = twoskip_parse(base, scan.end, off, &rec);
        if (r < 0) {
            rp.damaged++;
            rec.size = scan.end - off < 8 ? scan.end - off : 8;
            cyrusdb_bad(bad, off, rec.size, "no record");
            continue;
        }
        if (r && !dirty) cyrusdb_bad(bad, off, rec.headlen, "checksum of pointers");
        if (rec.type == '+') apply_record(&scan, &rec);
        if (rec.type == '-') apply_delete(&scan, &rec);
    }
    for (const struct kvmap_node *node = kvmap_first(&rp.live); node; node = node->next[0])
        kvmap_set(map, node->key, node->keylen, node->data ? node->data : "", node->datalen);
    kvmap_fini(&rp.live);
}
