/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_log -- the endless log: segments, append, sync
 *
 * A segment is a file named by the LSN of its first byte (16 hex digits and ".log"); the next
 * one begins where it ends. A record never crosses from one to the next.
 *
 * Append. Under the append lock: what a dead writer left at the tail is settled (a
 * whole record counts, anything else never happened), the record is written at the
 * tail, then the tail moves. The file is kept written with zeros a little ahead, so
 * that most syncs need not change the file's size.
 *
 * Sync. Whoever gets the sync lock syncs for all: everything up to the tail it saw before. The
 * others sleep until the synced LSN has passed theirs. A failed sync is final: the
 * kernel may have dropped the bytes, so nothing is tried again and nothing more is
 * written (journal_fail).
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "journal_int.h"
#include "lockwatch.h"
#include "mutant.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define PREPARE_CHUNK (256u * 1024u)
/*
 * A leader may die between its sync and the wake-up: look again after this long, and then less often, as
 * a thousand who look all the time leave nobody else the processors.
 */
#define SYNC_PATIENCE_NS (20 * 1000 * 1000)
#define SYNC_PATIENCE_TIMES 16

/* ---- segments ---- */

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int journal_segments(const char *dir, uint64_t **starts, size_t *n)
{
    size_t alloc = 0;
    *starts = NULL;
    *n = 0;

    DIR *d = opendir(dir);
    if (!d) return -errno;
    for (const struct dirent *e; (e = readdir(d));) {
        uint64_t start;
        if (strlen(e->d_name) != 20 || strcmp(e->d_name + 16, ".log")) continue;
        if (parse_hex64(e->d_name, 16, &start)) continue;
        if (*n == alloc) {
            alloc = grow_alloc(alloc, *n + 1);
            *starts = xreallocarray(*starts, alloc, sizeof(**starts));
        }
        (*starts)[(*n)++] = start;
    }
    closedir(d);
    if (*n) qsort(*starts, *n, sizeof(**starts), cmp_u64);
    return 0;
}

const char *journal_segment_path(const struct journal *j, uint64_t start)
{
    char name[32];
    snprintf(name, sizeof(name), "%016llx.log", (unsigned long long)start);
    return journal_path(j, name);
}

void journal_segment_close(struct journal_segment *segment)
{
    diskio_close(segment->fd);
    segment->fd = -1;
}

static int segment_open(struct journal *j, struct journal_segment *segment, uint64_t start)
{
    if (segment->fd >= 0 && segment->start == start) return 0;
    journal_segment_close(segment);
    int fd = diskio_open(journal_segment_path(j, start), O_RDWR, 0);
    if (fd < 0) return fd;
    segment->fd = fd;
    segment->start = start;
    return 0;
}

int journal_segment_create(struct journal *j, uint64_t lsn)
{
    const char *path = journal_segment_path(j, lsn);
    /* Of that name there can only be one that holds nothing: no record begins at lsn yet. */
    int fd = diskio_open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    int r = fd < 0 ? fd : diskio_sync_dir(j->dir);
    if (r) {
        syslog(LOG_ERR, "journal: can't make segment %s: %s", path, strerror(-r));
        diskio_close(fd);
        return r;
    }
    journal_segment_close(&j->append);
    j->append.fd = fd;
    j->append.start = lsn;
    return 0;
}

/* ---- reading ---- */

/* The segment that holds lsn: the last one that does not begin behind it. */
static int find_segment(struct journal *j, uint64_t lsn)
{
    uint64_t *starts;
    size_t n;
    int r = journal_segments(j->dir, &starts, &n);
    if (r) return r;
    while (n && starts[n - 1] > lsn) n--;
    r = n ? segment_open(j, &j->read, starts[n - 1]) : -ENOENT;
    free(starts);
    return r;
}

/* 0 with the record in buf, 1: none there, in the open segment j->read. */
static int read_here(struct journal *j, uint64_t lsn, uint64_t generation, struct buf *buf)
{
    char raw[JOURNAL_RECORD_HEAD];
    struct journal_head head;
    struct journal_view view;
    uint64_t off = lsn - j->read.start;

    int r = diskio_pread_full(j->read.fd, raw, sizeof(raw), off);
    if (r == -ENODATA) return 1;
    if (r) return r;
    if (journal_head_parse(raw, lsn, &head)) return 1;
    if (generation && head.generation != generation) return 1;

    buf_reset(buf);
    buf_appendfill(buf, 0, head.length);
    r = diskio_pread_full(j->read.fd, buf->s, head.length, off);
    if (r == -ENODATA) return 1;
    if (r) return r;
    if (journal_view_init(&view, buf->s, buf->len, lsn)) return 1;
    journal_view_fini(&view);
    return 0;
}

int journal_log_read(struct journal *j, uint64_t lsn, uint64_t generation, struct buf *buf)
{
    int r = 1;
    if (j->read.fd >= 0 && j->read.start <= lsn) r = read_here(j, lsn, generation, buf);
    if (r == 1) {
        /* Not in the segment at hand: it may have ended here, or lsn lies before it. */
        uint64_t had = j->read.fd >= 0 ? j->read.start : UINT64_MAX;
        r = find_segment(j, lsn);
        if (r == -ENOENT) return 1;
        if (!r && j->read.start == had) return 1;
        if (!r) r = read_here(j, lsn, generation, buf);
    }
    if (r < 0) syslog(LOG_ERR, "journal: can't read %s at %llx: %s", j->dir, (unsigned long long)lsn, strerror(-r));
    return r;
}

/* Looks for such a record in the mapped bytes of one segment. */
static bool find_witness(const struct diskio_map *map, uint64_t start, uint64_t tail, uint64_t generation)
{
    struct journal_head head;
    size_t off = tail > start ? (size_t)(tail - start) : 0;

    for (; off + JOURNAL_RECORD_HEAD <= map->len; off += 8) {
        if (get_be32(map->base + off) != JOURNAL_RECORD_MAGIC) continue;
        if (journal_head_parse(map->base + off, start + off, &head)) continue;
        if (head.generation == generation && head.synced > tail) return true;
    }
    return false;
}

int journal_log_isdamaged(struct journal *j, uint64_t tail, uint64_t generation)
{
    uint64_t *starts;
    size_t n;
    bool found = false;

    int r = journal_segments(j->dir, &starts, &n);
    for (size_t i = 0; !r && !found && i < n; i++) {
        struct diskio_map map = DISKIO_MAP_INITIALIZER;
        if (i + 1 < n && starts[i + 1] <= tail) continue;
        r = diskio_map_file(journal_segment_path(j, starts[i]), &map, NULL);
        if (!r) found = find_witness(&map, starts[i], tail, generation);
        diskio_map_free(&map);
    }
    free(starts);
    return r ? r : found;
}

/* ---- append ---- */

/* Settles what a writer left that died between its claim of the tail and moving it. */
static int settle_tail(struct journal *j)
{
    struct journal_control *ctl = j->ctl;
    struct buf buf = BUF_INITIALIZER;
    uint64_t tail = ctl->tail;
    int r = journal_log_read(j, tail, ctl->generation, &buf);

    if (!r) {
        tail += buf.len;
        ctl->tail = tail;
    }
    buf_free(&buf);
    if (r < 0) return r;
    journal_slots_void(j, tail);
    ctl->appending = 0;
    return 0;
}

int journal_tail_settle(struct journal *j)
{
    int r = journal_bytelock(j, JLOCK_APPEND, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    if (j->ctl->appending) r = settle_tail(j);
    journal_byteunlock(j, JLOCK_APPEND);
    return r;
}

/* Opens the segment that the record goes to, a new one when the last is full. */
static int ready_segment(struct journal *j, size_t len)
{
    struct journal_control *ctl = j->ctl;
    uint64_t used = ctl->tail - ctl->segment;

    if (used && used + len > j->segment_size) {
        /* Named before it is made: whoever dies in between leaves no file that nobody expects. */
        ctl->prepared = ctl->tail;
        ctl->segment = ctl->tail;
    }
    int r = segment_open(j, &j->append, ctl->segment);
    if (r == -ENOENT && ctl->segment == ctl->tail) return journal_segment_create(j, ctl->segment);
    if (r)
        syslog(LOG_ERR, "journal: can't open %s: %s", journal_segment_path(j, ctl->segment), strerror(-r));
    return r;
}

/* Zeros behind the place of the record, so that the next ones overwrite and not extend. */
static void prepare(struct journal *j, uint64_t end)
{
    static const char zeros[PREPARE_CHUNK];
    struct journal_control *ctl = j->ctl;
    uint64_t off = end - ctl->segment;
    uint64_t to = roundup2(off + 1, (uint64_t)PREPARE_CHUNK);

    if (diskio_pwrite(j->append.fd, zeros, to - off, off)) return; /* they are only a help */
    ctl->prepared = ctl->segment + to;
}

static int write_record(struct journal *j, struct journal_record *rec)
{
    struct journal_control *ctl = j->ctl;
    uint64_t start = ctl->tail, end = start + rec->bytes.len;
    struct journal_view view;

    journal_record_stamp(rec, start, ctl->generation, ctl->synced);
    int r = journal_view_init(&view, rec->bytes.s, rec->bytes.len, start);
    if (r) return r;

    ctl->appending = 1;
    j->slot = journal_slot_claim(j, &view, start, end);
    if (!j->slot) r = -EBUSY;
    if (!r && end > ctl->prepared) prepare(j, end);
    if (!r) {
        r = diskio_pwrite(j->append.fd, rec->bytes.s, rec->bytes.len, start - ctl->segment);
        if (r) syslog(LOG_ERR, "journal: can't append to %s: %s", journal_segment_path(j, ctl->segment), strerror(-r));
    }
    if (!r) {
        for (uint32_t i = 0; i < view.head.nlocks; i++) {
            uint64_t h = journal_hash(journal_view_lock(&view, i, NULL));
            ctl->lock_lsn[h % JOURNAL_LOCK_LSNS] = end;
        }
        ctl->tail = end;
    }
    else if (j->slot) {
        journal_slot_free(j, j->slot);
        j->slot = NULL;
    }
    ctl->appending = 0;
    journal_view_fini(&view);
    return r;
}

int journal_log_append(struct journal *j, struct journal_record *rec, uint64_t *startp, uint64_t *endp)
{
    struct journal_control *ctl = j->ctl;

    int r = journal_bytelock(j, JLOCK_APPEND, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    if (ctl->failed) r = -EROFS;
    if (!r && ctl->appending) r = settle_tail(j);
    if (!r) r = ready_segment(j, rec->bytes.len);
    if (!r) {
        *startp = ctl->tail;
        *endp = ctl->tail + rec->bytes.len;
        r = write_record(j, rec);
    }
    journal_byteunlock(j, JLOCK_APPEND);
    return r;
}

/* ---- sync ---- */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen, long ns)
{
    struct timespec patience = { .tv_nsec = ns };
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &patience, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Segments but the last, of which a part lies behind `from`. */
static int sync_older(struct journal *j, uint64_t from, uint64_t last)
{
    uint64_t *starts;
    size_t n;
    int r = journal_segments(j->dir, &starts, &n);
    for (size_t i = 0; !r && i + 1 < n && starts[i] < last; i++) {
        if (starts[i + 1] <= from) continue;
        r = segment_open(j, &j->read, starts[i]);
        if (!r) r = diskio_fdatasync(j->read.fd);
    }
    free(starts);
    return r;
}

/* Syncs everything up to the tail; under the sync lock. */
static int sync_all(struct journal *j)
{
    struct journal_control *ctl = j->ctl;
    uint64_t synced = ctl->synced, tail = ctl->tail, last = ctl->segment;

    /* `last` was read behind `tail`: all of [last, tail) is in it, or tail lies before it. */
    int r = synced < last ? sync_older(j, synced, last) : 0;
    if (!r && tail > last) {
        r = segment_open(j, &j->append, last);
        if (!r) r = diskio_fdatasync(j->append.fd);
    }
    if (r && !mutant_is("sync-error-forgotten")) return journal_fail(j, "sync of the log", r);
    ctl->synced = tail;
    return 0;
}

bool journal_is_synced(const struct journal *j, uint64_t lsn)
{
    return j->ctl->synced >= lsn;
}

/* Whose sync is waited for is watched, as whoever holds any other lock. */
static int watch_leader(struct journal *j, struct lockwatch *watch)
{
    const struct flock wanted = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = JLOCK_SYNC, .l_len = 1 };
    if (!watch->begun) lockwatch_begin(watch, j->lockfd, &wanted, LOCKWATCH_LIMIT);
    return lockwatch_look(watch);
}

int journal_sync(struct journal *j, uint64_t lsn)
{
    struct journal_control *ctl = j->ctl;
    struct lockwatch watch = { 0 };
    long patience = SYNC_PATIENCE_NS;

    while (ctl->synced < lsn) {
        if (ctl->failed) return -EROFS;
        uint32_t seq = ctl->sync_seq;
        int r = journal_bytelock(j, JLOCK_SYNC, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK);
        if (r == -EWOULDBLOCK) {
            if (ctl->synced < lsn) futex_wait(&ctl->sync_seq, seq, patience);
            patience = cyr_min(2 * patience, (long)SYNC_PATIENCE_NS * SYNC_PATIENCE_TIMES);
            r = watch_leader(j, &watch);
            if (r) return r;
            continue;
        }
        if (r) return r;
        if (ctl->failed)
            r = -EROFS;
        else if (ctl->synced < lsn)
            r = sync_all(j);
        journal_byteunlock(j, JLOCK_SYNC);
        ctl->sync_seq++;
        futex_wake(&ctl->sync_seq);
        if (r) return r;
    }
    return 0;
}
