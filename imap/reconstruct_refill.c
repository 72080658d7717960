/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_refill -- message files that are missing or damaged, and how they are put back
 *
 * Every file of the mailbox is read, without a lock. A file is put back only if the bytes have the GUID of the
 * record, and if record and damage are still there when the lock is held; so what came too late, or twice, does no harm.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diskio.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "reconstruct_internal.h"
#include "times.h"
#include "util.h"
#include "verified_pass.h"
#include "xmalloc.h"

/* ---- what has to come ---- */

static void remember(struct reconstruct_refill *refill, const struct index_record *rec)
{
    refill->v = xgrow(refill->v, refill->n, sizeof(*refill->v));
    refill->v[refill->n++] = (struct reconstruct_message){ .uid = rec->uid, .guid = rec->guid };
}

static int collect(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    (void)mailbox;
    if (!message_guid_isnull(&rec->guid)) remember(rock, rec);
    return 0;
}

/* NULL: the file is the message. */
static const char *fault_of(struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf bytes = BUF_INITIALIZER;
    struct message_guid guid;
    struct stat st;

    int r = diskio_stat(mailbox_record_fname(mailbox, rec), &st);
    if (r == -ENOENT) return "not found";
    if (!r && (uint64_t)st.st_size != rec->size) return "has another size";
    if (mailbox_map_bytes(mailbox, rec, &bytes)) return "can't be read";
    message_guid_generate(&guid, buf_len(&bytes) ? buf_base(&bytes) : "", buf_len(&bytes));
    buf_free(&bytes);
    return message_guid_equal(&guid, &rec->guid) ? NULL : "guid mismatch";
}

/* The file of a record that went meanwhile is nobody's fault. */
static bool is_still_there(struct mailbox *mailbox, uint32_t uid, struct index_record *rec)
{
    if (mailbox_relock_read(mailbox, NULL)) return false;
    int r = mailbox_find_uid(mailbox, uid, rec);
    bool is = !r && !(rec->internal_flags & FLAG_INTERNAL_UNLINKED);
    mailbox_unlock(mailbox);
    return is;
}

int reconstruct_find_refill(const char *name, struct reconstruct_refill *refill)
{
    struct mailbox *mailbox = NULL;
    struct index_record rec;
    size_t kept = 0;

    double began = monotonic_seconds();
    uint64_t bytes = 0;
    int r = mailbox_open_irl(name, &mailbox);
    if (!r) r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, collect, refill);
    if (!r) mailbox_unlock(mailbox);
    for (size_t i = 0; !r && i < refill->n; i++) {
        struct reconstruct_message *m = &refill->v[i];

        if (refill->stop && refill->stop()) r = IMAP_CANCELLED;
        if (r || !is_still_there(mailbox, m->uid, &rec)) continue;
        bytes += rec.size;
        verified_slow_down(refill->rate, refill->stop, began, bytes);
        m->fault = fault_of(mailbox, &rec);
        if (m->fault && is_still_there(mailbox, m->uid, &rec)) refill->v[kept++] = *m;
    }
    refill->n = kept;
    mailbox_close(&mailbox);
    return r;
}

void reconstruct_free_refill(struct reconstruct_refill *refill)
{
    free(refill->v);
    *refill = (struct reconstruct_refill){ 0 };
}

/* ---- putting it back ---- */

static int put_back(struct mailbox *mailbox, const struct reconstruct_message *m,
                    const struct diskio_map *bytes)
{
    struct index_record rec;

    int r = mailbox_find_uid(mailbox, m->uid, &rec);
    if (!r && ((rec.internal_flags & FLAG_INTERNAL_UNLINKED) ||
               !message_guid_equal(&rec.guid, &m->guid)))
        r = IMAP_NOTFOUND;
    if (r || !fault_of(mailbox, &rec)) return r;
    return mailbox_replace_file(mailbox, &rec, bytes->base ? bytes->base : "", bytes->len);
}

int reconstruct_put_back(const char *name, const struct reconstruct_message *m, const char *path)
{
    struct diskio_map bytes = DISKIO_MAP_INITIALIZER;
    struct mailbox *mailbox = NULL;
    struct txn *txn = NULL;

    int r = diskio_map_file(path, &bytes, NULL) ? IMAP_IOERROR : txn_begin(&txn);
    if (!r) r = mailbox_open_iwl(txn, name, &mailbox);
    if (!r) r = put_back(mailbox, m, &bytes);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    diskio_map_free(&bytes);
    return r;
}
