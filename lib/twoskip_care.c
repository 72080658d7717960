/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_care -- repack, check and dump of a twoskip file (handbook 01 §2.9, 2.11)
 *
 * A repack writes FILE.NEW with all records in key order as one transaction, syncs it, and renames it
 * over FILE, under the exclusive lock of both. Generation is one more, so that a mark of the old file
 * is never taken for one of the new.
 */
#include <config.h>

#include "twoskip.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xmalloc.h"
#include "xsyslog.h"

bool twoskip_repack_due(const struct twoskip *ts)
{
    return ts->header.current_size > TWOSKIP_MINREPACK && ts->header.current_size > 2 * ts->header.repack_size;
}

/* ---- check ---- */

static int inconsistent(const struct twoskip *ts, const char *what, uint64_t off)
{
    xsyslog_errno(LOG_ERR, 0, what, "filename=<%s> offset=<%llX>", ts->fname, (unsigned long long)off);
    return CYRUSDB_BADFORMAT;
}

/* Every list leads from its last record to this one, if it is a member of it. */
static int check_lists(struct twoskip *ts, uint64_t last[TWOSKIP_MAXLEVEL], unsigned level, uint64_t off)
{
    for (unsigned n = 1; n < level; n++) {
        if (last[n] != off) return inconsistent(ts, "DBERROR: twoskip list is wrong", off);
    }
    return 0;
}

int twoskip_check(struct twoskip *ts)
{
    uint64_t expected[TWOSKIP_MAXLEVEL], num = 0;
    struct twoskip_record rec, next;

    int r = twoskip_read(ts, TWOSKIP_DUMMY, &rec);
    for (unsigned n = 1; !r && n < TWOSKIP_MAXLEVEL; n++) expected[n] = twoskip_next(ts, &rec, n);
    while (!r) {
        r = twoskip_step(ts, &rec, &next);
        if (r) break;
        r = check_lists(ts, expected, next.level, next.offset);
        for (unsigned n = 1; n < next.level; n++) expected[n] = twoskip_next(ts, &next, n);
        rec = next;
        num++;
    }
    if (r != CYRUSDB_NOTFOUND) return r;
    r = check_lists(ts, expected, TWOSKIP_MAXLEVEL, 0);
    if (!r && num != ts->header.num_records) r = inconsistent(ts, "DBERROR: twoskip number of records is wrong", num);
    return r;
}

/* ---- repack ---- */

static int copy_records(struct twoskip *ts, struct twoskip *to)
{
    struct twoskip_record rec, next;
    int r = twoskip_read(ts, TWOSKIP_DUMMY, &rec);
    while (!r) {
        r = twoskip_step(ts, &rec, &next);
        if (!r) r = twoskip_check_tail(ts, &next);
        if (!r) r = twoskip_txn_store(to, next.key, next.keylen, next.val, next.vallen, true);
        rec = next;
    }
    return r == CYRUSDB_NOTFOUND ? 0 : r;
}

static int build(struct twoskip *ts, struct twoskip *to)
{
    int r = twoskip_lock(to, DISKIO_LOCK_EXCLUSIVE);
    if (r) return r;
    to->header.generation = ts->header.generation + 1;
    twoskip_txn_begin(to, false);
    r = copy_records(ts, to);
    if (r) return r;
    to->header.repack_size = to->end + twoskip_padding(to->end, 24);
    if (to->num) return twoskip_txn_commit(to);
    /* Nothing to commit: the header alone has the generation. */
    twoskip_txn_abort(to);
    r = twoskip_put_header(to);
    if (!r && (r = diskio_fsync(to->fd))) r = twoskip_ioerror(to, r, "DBERROR: twoskip sync failed");
    return r;
}

static int replace(struct twoskip *ts, struct twoskip *to, const char *tmp)
{
    int r = diskio_rename(tmp, ts->fname);
    if (!r) r = diskio_sync_parent(ts->fname);
    return r ? twoskip_ioerror(ts, r, "DBERROR: twoskip file can't be replaced") : 0;
}

void twoskip_state(const struct twoskip *ts, struct cyrusdb_state *state)
{
    *state = (struct cyrusdb_state){ (uint64_t)ts->dev, (uint64_t)ts->ino, ts->header.generation,
                                     ts->header.current_size };
}

int twoskip_repack(struct twoskip *ts)
{
    char *tmp = xasprintf("%s.NEW", ts->fname);
    struct twoskip *to = NULL;
    struct timespec start, end;
    uint64_t before = ts->header.current_size;

    clock_gettime(CLOCK_MONOTONIC, &start);
    twoskip_state(ts, &ts->repacked_from);
    ts->repacked_to.ino = 0;
    int r = twoskip_check(ts);
    if (!r) r = cyrusdb_error(diskio_unlink_quiet(tmp));
    if (!r) r = twoskip_open_file(tmp, (ts->flags & CYRUSDB_MBOXSORT) | CYRUSDB_CREATE, &to);
    if (!r) r = build(ts, to);
    if (!r) r = replace(ts, to, tmp);
    if (!r) twoskip_state(to, &ts->repacked_to);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (!r)
        syslog(LOG_INFO, "twoskip: checkpointed %s (%llu records, %llu => %llu bytes) in %2.3f seconds", ts->fname,
               (unsigned long long)to->header.num_records, (unsigned long long)before,
               (unsigned long long)to->header.current_size, (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    else if (to)
        diskio_unlink_quiet(tmp);
    if (to) twoskip_free(to);
    free(tmp);
    return r;
}

/* ---- dump ---- */

static void dump_pointers(const struct twoskip_record *rec, struct buf *out)
{
    buf_putc(out, '\t');
    for (unsigned i = 0; i < twoskip_nptrs(rec); i++) {
        buf_printf(out, "%08llX ", (unsigned long long)twoskip_ptr(rec, i));
        if (i % 8 == 0) buf_appendcstr(out, "\n\t");
    }
    buf_putc(out, '\n');
}

static void dump_record(const struct twoskip_record *rec, struct buf *out)
{
    unsigned long long off = rec->offset;
    switch (rec->type) {
    case '-':
        buf_printf(out, "%08llX DELETE ptr=%08llX\n", off, (unsigned long long)twoskip_ptr(rec, 0));
        return;
    case '$':
        buf_printf(out, "%08llX COMMIT start=%08llX\n", off, (unsigned long long)twoskip_ptr(rec, 0));
        return;
    default:
        buf_printf(out, "%08llX %s kl=%llu dl=%llu lvl=%u (", off, rec->type == '=' ? "DUMMY" : "RECORD",
                   (unsigned long long)rec->keylen, (unsigned long long)rec->vallen, rec->level);
        buf_appendmap(out, rec->key, (size_t)rec->keylen);
        buf_appendcstr(out, ")\n");
        dump_pointers(rec, out);
    }
}

int twoskip_dump(struct twoskip *ts, unsigned detail, struct buf *out)
{
    struct twoskip_record rec;

    (void)detail;
    buf_printf(out, "HEADER: v=1 fl=%u num=%llu sz=(%08llX/%08llX)\n", ts->header.flags,
               (unsigned long long)ts->header.num_records, (unsigned long long)ts->header.current_size,
               (unsigned long long)ts->header.repack_size);
    for (uint64_t off = TWOSKIP_DUMMY; off < ts->end; off += rec.size) {
        if (twoskip_is_blank(ts->map.base + off)) {
            buf_printf(out, "%08llX BLANK\n", (unsigned long long)off);
            rec.size = 8;
            continue;
        }
        if (twoskip_parse(ts->map.base, ts->end, off, &rec) < 0) {
            buf_printf(out, "%08llX ERROR\n", (unsigned long long)off);
            rec.size = 8;
            continue;
        }
        dump_record(&rec, out);
    }
    return 0;
}
