/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twoskip_recover -- a twoskip file after a crash (handbook 01 §2.8, doc/journal.md §7)
 *
 * Three ways. The walk trusts list 0 as the last commit left it, and is right when the machine went on:
 * one of the two slots of list 0 has the committed state; a head that a failing disk left half-written is
 * set anew as the rewind does it. The rewind trusts no pointer, and is right
 * after a power cut that kept any part of several unsynced transactions: heads are set anew from the log.
 * The rescue is for damaged files: what can be read gets a new file, nothing else is touched.
 */
#include <config.h>

#include "twoskip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Writes the head with the pointers given, if it is different. */
static int put_pointers(struct twoskip *ts, const struct twoskip_record *rec, const uint64_t *ptrs, uint64_t *fixed)
{
    char head[TWOSKIP_HEADMAX];

    memcpy(head, rec->head, rec->headlen);
    for (unsigned i = 0; i < twoskip_nptrs(rec); i++) twoskip_set_ptr(rec, head, i, ptrs[i]);
    twoskip_seal_head(head, rec->headlen);
    if (!memcmp(head, rec->head, rec->headlen)) return 0;
    ++*fixed;
    int r = diskio_pwrite(ts->fd, head, rec->headlen, rec->offset);
    return r ? twoskip_ioerror(ts, r, "DBERROR: twoskip record can't be written") : 0;
}

/* Cuts the file to current_size and writes a clean header. */
static int finish(struct twoskip *ts, uint64_t num, bool sync)
{
    int r = diskio_ftruncate(ts->fd, ts->header.current_size);
    if (!r && sync) r = diskio_fsync(ts->fd);
    if (r) return twoskip_ioerror(ts, r, "DBERROR: twoskip file can't be cut");
    ts->header.num_records = num;
    ts->header.flags &= ~TWOSKIP_DIRTY;
    r = twoskip_put_header(ts);
    if (!r && sync && (r = diskio_fsync(ts->fd))) r = twoskip_ioerror(ts, r, "DBERROR: twoskip sync failed");
    return r;
}

/* ---- the walk ---- */

struct last {
    uint64_t offset[TWOSKIP_MAXLEVEL];
};

/* List n leads from its last record to `off`. */
static int correct(struct twoskip *ts, const struct last *last, unsigned n, uint64_t off, uint64_t *fixed)
{
    struct twoskip_record rec;
    uint64_t ptrs[TWOSKIP_MAXLEVEL + 1];

    int r = twoskip_read(ts, last->offset[n], &rec);
    if (r || twoskip_next(ts, &rec, n) == off) return r;
    for (unsigned i = 0; i < twoskip_nptrs(&rec); i++) ptrs[i] = twoskip_ptr(&rec, i);
    ptrs[n + 1] = off;
    return put_pointers(ts, &rec, ptrs, fixed);
}

/* Slots of list 0 that lead beyond the end become 0. */
static int clear_slots(struct twoskip *ts, const struct twoskip_record *rec, uint64_t *fixed)
{
    uint64_t ptrs[TWOSKIP_MAXLEVEL + 1];
    for (unsigned i = 0; i < twoskip_nptrs(rec); i++) ptrs[i] = twoskip_ptr(rec, i);
    for (unsigned i = 0; i < 2; i++) {
        if (ptrs[i] >= ts->end) ptrs[i] = 0;
    }
    return put_pointers(ts, rec, ptrs, fixed);
}

static int walk(struct twoskip *ts, uint64_t *num, uint64_t *fixed)
{
    struct twoskip_record rec, next;
    struct last last;

    for (unsigned n = 0; n < TWOSKIP_MAXLEVEL; n++) last.offset[n] = TWOSKIP_DUMMY;
    int r = twoskip_read(ts, TWOSKIP_DUMMY, &rec);
    while (!r) {
        r = twoskip_step(ts, &rec, &next);
        if (r && r != CYRUSDB_NOTFOUND) return r;
        bool end = r;
        r = clear_slots(ts, &rec, fixed);
        for (unsigned n = 1; !r && n < (end ? TWOSKIP_MAXLEVEL : next.level); n++) {
            r = correct(ts, &last, n, end ? 0 : next.offset, fixed);
            last.offset[n] = next.offset;
        }
        if (r || end) break;
        ++*num;
        r = twoskip_read(ts, next.offset, &rec);
    }
    return r;
}

/* ---- the rescue ---- */

static int rescue_into(struct twoskip *to, const struct twoskip_replay *rp, uint64_t generation)
{
    int r = twoskip_lock(to, DISKIO_LOCK_EXCLUSIVE);
    if (r) return r;
    to->header.generation = generation;
    twoskip_txn_begin(to, false);
    for (const struct kvmap_node *node = kvmap_first(&rp->live); !r && node; node = node->next[0])
        r = twoskip_txn_store(to, node->key, node->keylen, node->data, node->datalen, true);
    if (!r) r = twoskip_txn_commit(to);
    return r;
}

/* What the new file has becomes ours; the lock of the old one goes with its descriptor. */
static int take_over(struct twoskip *ts, struct twoskip *to, const char *tmp)
{
    int r = diskio_rename(tmp, ts->fname);
    if (!r) r = diskio_sync_parent(ts->fname);
    if (r) return twoskip_ioerror(ts, r, "DBERROR: twoskip file can't be replaced");
    diskio_map_free(&ts->map);
    diskio_close(ts->fd);
    ts->fd = to->fd;
    ts->dev = to->dev;
    ts->ino = to->ino;
    ts->header = to->header;
    ts->tailbase = ts->end = to->end;
    to->fd = -1;
    return twoskip_refresh(ts, ts->header.current_size);
}

static int rescue(struct twoskip *ts, uint64_t size)
{
    struct twoskip_replay rp;
    struct twoskip *to = NULL;
    char *tmp = xasprintf("%s.NEW", ts->fname);

    int r = twoskip_replay(&rp, ts->cmp, ts->map.base, size, true);
    if (!r && !rp.live.count) r = CYRUSDB_BADFORMAT;
    if (!r) r = cyrusdb_error(diskio_unlink_quiet(tmp));
    if (!r) r = twoskip_open_file(tmp, (ts->flags & CYRUSDB_MBOXSORT) | CYRUSDB_CREATE, &to);
    if (!r) r = rescue_into(to, &rp, ts->header.generation + 1);
    if (!r) {
        syslog(LOG_ERR, "twoskip: recovery2 %s - rescued %llu of %llu records, %llu places damaged", ts->fname,
               (unsigned long long)rp.live.count, (unsigned long long)rp.records, (unsigned long long)rp.damaged);
        /* The map of the old file is what rp points into. */
        twoskip_replay_fini(&rp);
        r = take_over(ts, to, tmp);
    }
    else {
        twoskip_replay_fini(&rp);
        xsyslog_errno(LOG_ERR, 0, "DBERROR: twoskip recovery2 failed, the file is as it was", "filename=<%s>", ts->fname);
        diskio_unlink_quiet(tmp);
    }
    if (to) twoskip_free(to);
    free(tmp);
    return r;
}

/* ---- heads from the log ---- */

int twoskip_relink(struct twoskip *ts, const struct twoskip_replay *rp, uint64_t end, uint64_t *fixed)
{
    uint64_t next[TWOSKIP_MAXLEVEL + 1] = { 0 };
    struct twoskip_record rec;
    int r = 0;

    /* From the end to the beginning: what comes behind is known then. */
    for (const struct kvmap_node *node = kvmap_before(&rp->live, NULL, 0); !r && node;
         node = kvmap_before(&rp->live, node->key, node->keylen)) {
        if (twoskip_parse(ts->map.base, end, node->number, &rec) < 0) return CYRUSDB_BADFORMAT;
        r = put_pointers(ts, &rec, next, fixed);
        for (unsigned i = 1; i <= rec.level; i++) next[i] = node->number;
    }
    if (r) return r;
    if (twoskip_parse(ts->map.base, end, TWOSKIP_DUMMY, &rec) < 0) return CYRUSDB_BADFORMAT;
    return put_pointers(ts, &rec, next, fixed);
}

/* Every record is whole up to end, where a transaction ends: all heads are written as they must be. */
static int heads_anew(struct twoskip *ts, uint64_t end, uint64_t *num, uint64_t *fixed)
{
    struct twoskip_replay rp;

    int r = twoskip_replay(&rp, ts->cmp, ts->map.base, end, false);
    if (!r && (rp.open || rp.damaged)) r = CYRUSDB_BADFORMAT;
    if (!r) r = twoskip_relink(ts, &rp, end, fixed);
    *num = rp.live.count;
    twoskip_replay_fini(&rp);
    return r;
}

/* ---- the way that fits ---- */

int twoskip_recover(struct twoskip *ts)
{
    bool dirty = ts->header.flags & TWOSKIP_DIRTY;
    double start = now();
    uint64_t num = 0, fixed = 0, end = ts->header.current_size;
    int r = 0;

    if (!(ts->header.flags & TWOSKIP_DIRTY)) {
        ts->header.flags |= TWOSKIP_DIRTY;
        r = twoskip_put_header(ts);
        if (!r && (r = diskio_fdatasync(ts->fd))) r = twoskip_ioerror(ts, r, "DBERROR: twoskip sync failed");
    }
    int64_t size = diskio_size(ts->fd);
    if (size < 0) return twoskip_ioerror(ts, (int)size, "DBERROR: twoskip file can't be read");
    if (!r && (uint64_t)size < end && (r = diskio_ftruncate(ts->fd, end)))
        r = twoskip_ioerror(ts, r, "DBERROR: twoskip file can't be extended");
    if (!r) r = twoskip_refresh(ts, end);
    if (r) return r;

    ts->tailbase = ts->end = end;
    unsigned flags = ts->flags;
    ts->flags &= ~CYRUSDB_NOCRC;
    r = walk(ts, &num, &fixed);
    ts->flags = flags;
    /* The writer may have left a head half-written. */
    if (r == CYRUSDB_BADFORMAT && dirty) r = heads_anew(ts, end, &num, &fixed);
    if (!r) r = finish(ts, num, true);
    if (!r) {
        syslog(LOG_NOTICE, "twoskip: recovered %s (%llu records, %llu bytes) in %2.3f seconds - fixed %llu offsets",
               ts->fname, (unsigned long long)num, (unsigned long long)end, now() - start, (unsigned long long)fixed);
        return 0;
    }
    return r == CYRUSDB_BADFORMAT ? rescue(ts, end) : r;
}

/* ---- the rewind ---- */

static int cut_back(struct twoskip *ts, uint64_t end, uint64_t size)
{
    uint64_t fixed = 0, num = 0;

    if (size < end) return CYRUSDB_BADFORMAT;
    int r = twoskip_refresh(ts, end);
    if (!r) r = heads_anew(ts, end, &num, &fixed);
    if (r) return r;
    ts->header.current_size = end;
    if (ts->header.repack_size > end) ts->header.repack_size = TWOSKIP_FIRST;
    r = finish(ts, num, false);
    if (!r)
        syslog(LOG_NOTICE, "twoskip: cut %s back to %llu bytes (%llu records) - fixed %llu heads", ts->fname,
               (unsigned long long)end, (unsigned long long)num, (unsigned long long)fixed);
    return r;
}

int twoskip_rewind(const char *fname, const struct cyrusdb_mark *marks, unsigned n, bool *cut)
{
    struct twoskip ts = { .fname = xstrdup(fname), .cmp = cyrusdb_cmp_raw, .fd = -1 };
    char head[TWOSKIP_HEADER];
    int64_t size = 0;

    int r = ts.fd = diskio_open(fname, O_RDWR, 0);
    if (r >= 0) r = diskio_lock(ts.fd, DISKIO_LOCK_EXCLUSIVE, 0);
    if (!r) r = diskio_pread_full(ts.fd, head, sizeof(head), 0);
    if (!r && (size = diskio_size(ts.fd)) < 0) r = (int)size;
    if (r && r != -ENOENT)
        twoskip_ioerror(&ts, r, "DBERROR: twoskip file can't be read");
    r = cyrusdb_error(r);
    if (!r) r = twoskip_header_parse(fname, head, sizeof(head), &ts.header);
    for (unsigned i = 0; !r && i < n && !*cut; i++) {
        if (marks[i].generation != ts.header.generation) continue;
        r = cut_back(&ts, marks[i].end, (uint64_t)size);
        *cut = !r;
        if (r == CYRUSDB_BADFORMAT)
            xsyslog_errno(LOG_ERR, 0, "DBERROR: twoskip file lacks what was durable", "filename=<%s> end=<%llX>", fname,
                          (unsigned long long)marks[i].end);
    }
    diskio_map_free(&ts.map);
    diskio_close(ts.fd);
    free(ts.fname);
    return r;
}
