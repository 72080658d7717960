/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_repack -- a new cyrus.index and new caches without what removed messages have left
 *
 * Written piece by piece into the stage, given their names when the transaction is applied:
 * index and caches change in one moment, and whoever has the old ones mapped keeps them.
 * A record whose CRC is wrong is carried over byte for byte; only UNLINKED ones go, when they have told long
 * enough that their message is gone (mailbox_tombstones.c). If
 * the sync CRC of the new index would not be that of the old, or there is no room for it, the
 * repack does not take place: the changes go into the old files, which keep the mark that they
 * are to be repacked. Only a repack that must be (another version, a damaged index) fails.
 * Handbook 02 §5.5.
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "message_cache.h"
#include "util.h"

#define FLUSH_SIZE ((size_t)1024 * 1024)

struct cache_writer {
    enum mailbox_metafile file;
    struct txn_staged *staged; /* NULL: no record yet */
    int fd;
    uint64_t off; /* of buf in the file */
    struct buf buf;
};

struct repack {
    struct mailbox *mailbox;
    struct index_header hdr;   /* of the new index */
    struct index_header check; /* counts of what was written */
    struct tombstone_rule tombstones;
    struct cache_writer cache[2];
    struct txn_staged *index;
    unsigned damaged; /* records carried over unread */
};

int mailbox_repack(struct mailbox *mailbox)
{
    int r = mailbox_begin_change(mailbox);
    if (!r) mailbox->repack = true;
    return r;
}

int mailbox_must_repack(struct mailbox *mailbox)
{
    int r = mailbox_repack(mailbox);
    if (!r) mailbox->repack_must = true;
    return r;
}

/* ---- caches ---- */

static int flush(struct cache_writer *w)
{
    int r = diskio_pwrite(w->fd, buf_base(&w->buf), buf_len(&w->buf), w->off);

    w->off += buf_len(&w->buf);
    buf_reset(&w->buf);
    return r;
}

static int begin_cache(struct repack *rp, struct cache_writer *w)
{
    const char *root = partition_metaroot(rp->mailbox->place.partition, w->file);

    if (!root) return IMAP_PARTITION_UNKNOWN;
    int r = txn_stage_file(rp->mailbox->txn, root, MAILBOX_FILE_MODE, &w->fd, &w->staged);
    if (!r) buf_appendbit32(&w->buf, rp->hdr.generation_no);
    return r;
}

/* A message whose file is gone leaves nothing of its content behind. */
static int copy_cache(struct repack *rp, struct index_record *rec)
{
    struct cache_writer *w = &rp->cache[mailbox_cache_number(rp->mailbox, rec)];
    struct buf view = BUF_INITIALIZER;
    uint32_t crc, version;

    if ((rec->internal_flags & FLAG_INTERNAL_UNLINKED) ||
        mailbox_cache_bytes(rp->mailbox, rec, &view, &crc, &version)) {
        rec->cache_offset = rec->cache_crc = 0;
        return 0;
    }
    int r = w->staged ? 0 : begin_cache(rp, w);
    if (r) return r;
    rec->cache_offset = w->off + buf_len(&w->buf);
    rec->cache_crc = crc;
    rec->cache_version = version;
    buf_append(&w->buf, &view);
    if (buf_len(&w->buf) < FLUSH_SIZE) return 0;
    r = flush(w);
    if (r) mailbox_log(rp->mailbox, r, "can't write the new cache", txn_staged_path(w->staged));
    return r ? IMAP_IOERROR : 0;
}

static int finish_cache(struct repack *rp, struct cache_writer *w)
{
    if (!w->staged) return 0;
    int r = flush(w);
    if (r) mailbox_log(rp->mailbox, r, "can't write the new cache", txn_staged_path(w->staged));
    return r ? IMAP_IOERROR : txn_staged_sync(w->staged);
}

static int place_cache(struct repack *rp, struct cache_writer *w)
{
    struct mailbox *mailbox = rp->mailbox;
    struct buf path = BUF_INITIALIZER;
    struct stat st;

    int r = mailbox_path_meta(&mailbox->place, w->file, &path);
    if (r) return r;
    if (w->staged)
        txn_place(mailbox->txn, w->staged, buf_cstring(&path));
    else if (!diskio_stat(buf_cstring(&path), &st))
        txn_unlink(mailbox->txn, buf_cstring(&path));
    buf_free(&path);
    return 0;
}

/* ---- records ---- */

static void drop_record(struct repack *rp, const struct index_record *rec)
{
    if (rec->modseq <= rp->hdr.deletedmodseq) return;
    rp->hdr.deletedmodseq = rec->modseq;
    rp->hdr.changes_epoch = rec->last_updated;
}

/* Byte for byte; mailbox_set_version has seen to it that records of another size can all be read. */
static void append_raw(struct repack *rp, uint32_t recno)
{
    buf_appendmap(&rp->mailbox->repacked, mailbox_record_bytes(rp->mailbox, recno),
                  rp->hdr.record_size);
    rp->hdr.num_records++;
    rp->damaged++;
}

static int copy_record(struct repack *rp, struct index_record *rec)
{
    struct buf *out = &rp->mailbox->repacked;

    int r = copy_cache(rp, rec);
    if (r) return r;
    buf_ensure(out, rp->hdr.record_size);
    out->len += index_record_write(rec, rp->hdr.minor_version, out->s + out->len);
    rp->hdr.num_records++;
    index_header_apply_delta(&rp->check, NULL, NULL, rec, NULL, &rp->mailbox->header.flags);
    return 0;
}

static int copy_records(struct repack *rp)
{
    struct mailbox *mailbox = rp->mailbox;
    struct index_record rec;
    int r = 0;

    for (uint32_t recno = 1; !r && recno <= mailbox->hdr.num_records; recno++) {
        if (mailbox_read_record(mailbox, recno, &rec))
            append_raw(rp, recno);
        else if ((rec.internal_flags & FLAG_INTERNAL_UNLINKED) &&
                 !mailbox_tombstone_stays(&rp->tombstones, &rec))
            drop_record(rp, &rec);
        else
            r = copy_record(rp, &rec);
    }
    return r;
}

/* ---- the whole ---- */

static void begin(struct repack *rp, struct mailbox *mailbox)
{
    memset(rp, 0, sizeof(*rp));
    rp->mailbox = mailbox;
    mailbox_tombstone_rule(mailbox, &rp->tombstones);
    rp->cache[0].file = META_CACHE;
    rp->cache[1].file = META_ARCHIVECACHE;
    rp->check = rp->hdr = mailbox->hdr;
    index_header_reset_counts(&rp->check);
    rp->hdr.generation_no++;
    rp->hdr.num_records = 0;
    rp->hdr.last_repack_time = index_time(txn_time(mailbox->txn));
    rp->hdr.options &= ~(OPT_MAILBOX_NEEDS_REPACK | OPT_MAILBOX_NEEDS_UNLINK);
    buf_reset(&mailbox->repacked);
    buf_appendfill(&mailbox->repacked, '\0', rp->hdr.start_offset);
}

/* In a file of its own, however small: an inline one would need its room only after the promise. */
static int write_index(struct repack *rp)
{
    struct mailbox *mailbox = rp->mailbox;
    struct buf *bytes = &mailbox->repacked;
    const char *root = partition_metaroot(mailbox->place.partition, META_INDEX);
    int fd;

    if (!root) return IMAP_PARTITION_UNKNOWN;
    index_header_write(&rp->hdr, bytes->s);
    int r = txn_stage_file(mailbox->txn, root, MAILBOX_FILE_MODE, &fd, &rp->index);
    if (r) return r;
    r = diskio_pwrite(fd, buf_base(bytes), buf_len(bytes), 0);
    if (r) mailbox_log(mailbox, r, "can't write the new index", txn_staged_path(rp->index));
    return r ? IMAP_IOERROR : txn_staged_sync(rp->index);
}

/* All that needs room; durable when it returns 0. */
static int write_files(struct repack *rp)
{
    int r = copy_records(rp);
    for (int i = 0; !r && i < 2; i++) r = finish_cache(rp, &rp->cache[i]);
    return r ? r : write_index(rp);
}

static int place_files(struct repack *rp)
{
    int n = mailbox_cache_has_archive(rp->mailbox->place.partition) ? 2 : 1, r = 0;

    txn_place(rp->mailbox->txn, rp->index, rp->mailbox->index_path);
    for (int i = 0; !r && i < n; i++) r = place_cache(rp, &rp->cache[i]);
    return r;
}

static int raise_deleted(struct repack *rp)
{
    struct mailbox *mailbox = rp->mailbox;
    int r = 0;

    if (rp->hdr.deletedmodseq == mailbox->disk.deletedmodseq) return 0;
    r = mailbox_open_meta(mailbox);
    if (!r)
        counters_set_modseq(mailbox->txn, mailbox->meta, rp->hdr.deletedmodseq,
                            mailbox->mbentry->name, mailbox->mbentry->mbtype, COUNTER_DELETED, &r);
    return r;
}

static bool is_same(const struct repack *rp)
{
    if (rp->damaged || rp->check.sync_crc_basic == rp->hdr.sync_crc_basic) return true;
    mailbox_log(rp->mailbox, 0, "sync CRC of the repacked index differs, it stays as it was",
                rp->mailbox->index_path);
    return false;
}

/* The old files are as they were; what was staged is dropped with the transaction. */
static int do_without(struct mailbox *mailbox, int r)
{
    if (mailbox->repack_must) return r;
    mailbox_log(mailbox, 0, "not repacked, this is done another time", mailbox->index_path);
    mailbox->hdr.options |= OPT_MAILBOX_NEEDS_REPACK;
    mailbox->repack = false;
    return mailbox_write_index(mailbox);
}

int mailbox_write_repacked(struct mailbox *mailbox)
{
    struct repack rp;

    begin(&rp, mailbox);
    int r = write_files(&rp);
    if (!r && !is_same(&rp)) r = IMAP_MAILBOX_CHECKSUM;
    for (int i = 0; i < 2; i++) buf_free(&rp.cache[i].buf);
    if (r) return do_without(mailbox, r);
    r = place_files(&rp);
    if (!r) r = raise_deleted(&rp);
    if (!r) mailbox->hdr = rp.hdr;
    return r;
}
