/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_commit -- what a handle has staged becomes file operations of its transaction
 *
 * Runs once per handle and transaction, as a commit hook: cyrus.header if it changed,
 * the new cache records as one write per chunk, the changed index records as few
 * writes as their places allow, the index header. The owner's counter and the quota hear the sum of all
 * changes. What is told here is not yet durable; txn.h says when it is.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "quota.h"
#include "sync_log.h"
#include "xmalloc.h"

/* Unchanged records between two changed ones that are written with them. */
#define MERGE_GAP 4

/* ---- quota ---- */

void mailbox_usage(const struct mailbox *mailbox, int64_t usage[QUOTA_NUMRESOURCES])
{
    const struct index_header *hdr = &mailbox->hdr;

    usage[QUOTA_STORAGE] = mailbox->deleted ? 0 : (int64_t)hdr->quota_mailbox_used;
    usage[QUOTA_MESSAGE] = mailbox->deleted ? 0 : (int64_t)hdr->exists;
    /* An index that can't remember it would be charged for it again and again. */
    bool annots = !mailbox->deleted && index_header_counts_annots(hdr);
    usage[QUOTA_ANNOTSTORAGE] = annots ? (int64_t)hdr->quota_annot_used : 0;
    usage[QUOTA_NUMFOLDERS] = mailbox->deleted ? 0 : 1;
}

int mailbox_account_quota(struct mailbox *mailbox, const int64_t usage[QUOTA_NUMRESOURCES])
{
    int64_t diff[QUOTA_NUMRESOURCES];
    bool any = false;

    for (int i = 0; i < QUOTA_NUMRESOURCES; i++) {
        diff[i] = usage[i] - mailbox->quota_base[i];
        mailbox->quota_base[i] = usage[i];
        any |= diff[i] != 0;
    }
    if (!any || !mailbox->quotaroot) return 0;
    return quota_update_useds(mailbox->txn, mailbox->quotaroot, diff, mailbox->mbentry->name);
}

/* ---- files ---- */

static int write_header(struct mailbox *mailbox)
{
    struct buf path = BUF_INITIALIZER, bytes = BUF_INITIALIZER;

    free(mailbox->header.name);
    mailbox->header.name = xstrdup(mailbox->mbentry->name);
    if (mailbox->mbentry->uniqueid) {
        free(mailbox->header.uniqueid);
        mailbox->header.uniqueid = xstrdup(mailbox->mbentry->uniqueid);
    }
    mailbox->header.mbtype = mailbox->mbentry->mbtype;
    mailbox->header.format = MAILBOX_HEADER_DLIST;
    mailbox_header_print(&mailbox->header, &bytes);
    mailbox->hdr.header_file_crc = crc32_map(buf_base(&bytes), buf_len(&bytes));
    int r = mailbox_path_meta(&mailbox->place, META_HEADER, &path);
    if (!r && mailbox->header_inplace)
        txn_rewrite(mailbox->txn, buf_cstring(&path), buf_base(&bytes), buf_len(&bytes),
                    MAILBOX_FILE_MODE);
    else if (!r)
        txn_replace(mailbox->txn, buf_cstring(&path), buf_base(&bytes), buf_len(&bytes),
                    MAILBOX_FILE_MODE);
    buf_free(&path);
    buf_free(&bytes);
    return r;
}

static void append_record_bytes(const struct mailbox *mailbox, uint32_t recno, struct buf *out)
{
    const struct staged_record *staged = mailbox_staged(mailbox, recno);
    size_t size = mailbox->hdr.record_size;

    if (!staged) {
        buf_appendmap(out, mailbox_record_bytes(mailbox, recno), size);
        return;
    }
    buf_ensure(out, size);
    index_record_write(&staged->rec, mailbox->hdr.minor_version, out->s + out->len);
    out->len += size;
}

static int cmp_recno(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The changed recnos in rising order; the caller frees. */
static uint32_t *changed_recnos(const struct mailbox *mailbox, size_t *np)
{
    uint32_t *recnos = xcalloc(mailbox->nstaged + 1, sizeof(*recnos));
    bool sorted = true;
    size_t n = 0;

    for (size_t i = 0; i < mailbox->nstaged; i++) {
        uint32_t recno = mailbox->staged[i].rec.recno;

        if (recno > mailbox->hdr.num_records) continue; /* an append that failed */
        if (n && recno < recnos[n - 1]) sorted = false;
        recnos[n++] = recno;
    }
    if (!sorted) qsort(recnos, n, sizeof(*recnos), cmp_recno);
    *np = n;
    return recnos;
}

static void write_records(struct mailbox *mailbox)
{
    struct buf bytes = BUF_INITIALIZER;
    size_t n, i = 0;
    uint32_t *recnos = changed_recnos(mailbox, &n);

    while (i < n) {
        uint32_t first = recnos[i], last = first;

        while (++i < n && recnos[i] - last <= MERGE_GAP) last = recnos[i];
        buf_reset(&bytes);
        buf_ensure(&bytes, (size_t)(last - first + 1) * mailbox->hdr.record_size);
        for (uint32_t recno = first; recno <= last; recno++)
            append_record_bytes(mailbox, recno, &bytes);
        txn_pwrite(mailbox->txn, mailbox->index_path, index_record_offset(&mailbox->hdr, first),
                   buf_base(&bytes), buf_len(&bytes));
    }
    buf_free(&bytes);
    free(recnos);
}

int mailbox_write_index(struct mailbox *mailbox)
{
    struct buf bytes = BUF_INITIALIZER;

    if (mailbox->repack) return mailbox_write_repacked(mailbox);
    buf_ensure(&bytes, INDEX_HEADER_MAX);
    bytes.len = index_header_write(&mailbox->hdr, bytes.s);
    if (mailbox->created) {
        for (uint32_t recno = 1; recno <= mailbox->hdr.num_records; recno++)
            append_record_bytes(mailbox, recno, &bytes);
        txn_create(mailbox->txn, mailbox->index_path, buf_base(&bytes), buf_len(&bytes),
                   MAILBOX_FILE_MODE, 0);
    }
    else {
        write_records(mailbox);
        txn_pwrite(mailbox->txn, mailbox->index_path, 0, buf_base(&bytes), buf_len(&bytes));
    }
    buf_free(&bytes);
    return mailbox_cache_commit(mailbox);
}

/* ---- hooks ---- */

int mailbox_conversations_hook(struct txn *txn, void *rock)
{
    struct mailbox *mailbox = rock;

    (void)txn;
    if (mailbox->deleted || mailbox->hdr.highestmodseq == mailbox->disk.highestmodseq) return 0;
    int r = mailbox_open_conversations(mailbox);
    return r ? r
             : conversation_setstatus_modseq(mailbox->conv, mailbox, mailbox->hdr.highestmodseq,
                                             false);
}

static int raise_counter(struct mailbox *mailbox)
{
    int r = 0;

    if (mailbox->hdr.highestmodseq == mailbox->disk.highestmodseq) return 0;
    r = mailbox_open_meta(mailbox);
    if (!r)
        counters_set_modseq(mailbox->txn, mailbox->meta, mailbox->hdr.highestmodseq,
                            mailbox->mbentry->name, mailbox->mbentry->mbtype, 0, &r);
    return r;
}

/* Counts that went below 0 were wrong before this transaction. */
static int repair_counts(struct mailbox *mailbox)
{
    if (!mailbox->counts_wrong) return 0;
    mailbox_log(mailbox, 0, "counts of the index header were wrong, counted anew",
                mailbox->index_path);
    return mailbox_recalc_counters(mailbox);
}

int mailbox_commit_hook(struct txn *txn, void *rock)
{
    struct mailbox *mailbox = rock;
    int64_t usage[QUOTA_NUMRESOURCES];

    if (mailbox->deleted) return mailbox_write_deleted(mailbox);
    if (!mailbox->hdr_dirty && !mailbox->repack) return 0;
    int r = repair_counts(mailbox);
    if (!r && mailbox->header_dirty) r = write_header(mailbox);
    if (!r) r = mailbox_write_index(mailbox);
    if (!r) r = raise_counter(mailbox);
    mailbox_usage(mailbox, usage);
    if (!r) r = mailbox_account_quota(mailbox, usage);
    if (r) return r;
    if (!mailbox->follows) sync_log_mailbox(txn, mailbox->mbentry->name);
    if (mailbox->appended) sync_log_append(txn, mailbox->mbentry->name);
    mailbox_audit_commit(mailbox);
    return 0;
}
