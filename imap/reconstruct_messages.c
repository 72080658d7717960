/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_messages -- index records and message files side by side
 *
 * First records that can't be read, or break the order of UIDs, are taken out: their files then are files without a record.
 * Then one walk over both streams decides: a record without its file is expunged, a file without a record becomes a message
 * (with its own UID when that is above all others, else with a new one), a record with its file is checked.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <syslog.h>

#include "annotate.h"
#include "diskio.h"
#include "imap_err.h"
#include "mailbox_internal.h"
#include "reconstruct_internal.h"
#include "sync_walk.h"
#include "xmalloc.h"

/* A file name so far above all others is no UID that this server has given. */
#define UID_JUMP (1u << 24)

/* ---- records that are none ---- */

static int wipe(struct repair *rp, uint32_t recno, const char *why)
{
    reconstruct_say(rp->rc, "%s: failed to read at record %" PRIu32 " (%s), wiping",
                    mailbox_name(rp->mailbox), recno, why);
    rp->changed = rp->recount = true;
    return mailbox_wipe_record(rp->mailbox, recno);
}

int reconstruct_wipe(struct repair *rp)
{
    struct index_record rec;
    uint32_t last = 0, num = mailbox_num_records(rp->mailbox);
    int r = 0;

    for (uint32_t recno = 1; !r && recno <= num; recno++) {
        int bad = mailbox_read_record(rp->mailbox, recno, &rec);

        if (bad)
            r = wipe(rp, recno, error_message(bad));
        else if (rec.uid && rec.uid <= last)
            r = wipe(rp, recno, "UID out of order");
        else if (rec.uid)
            last = rec.uid;
    }
    return r;
}

/* ---- one side only ---- */

/* NULL: no replica is known to have what was changed then. */
static const char *replica_with(struct repair *rp, modseq_t modseq)
{
    if (!rp->asked && mailbox_userid(rp->mailbox)) rp->channel = sync_acked_best(mailbox_userid(rp->mailbox), &rp->acked);
    rp->asked = true;
    return rp->channel && modseq <= rp->acked.modseq ? rp->channel : NULL;
}

/* What is expunged here is expunged there, too. */
static bool is_on_a_replica(struct repair *rp, const struct index_record *rec)
{
    if ((rp->rc->flags & RECONSTRUCT_ACCEPT_LOSS) || (rec->internal_flags & FLAG_INTERNAL_EXPUNGED)) return false;
    const char *channel = replica_with(rp, rec->modseq);
    if (!channel) return false;
    reconstruct_say(rp->rc, "%s uid %" PRIu32 " not found, a replica has it, left alone (--from-replica%s%s fetches it, --accept-loss expunges it)",
                    mailbox_name(rp->mailbox), rec->uid, *channel ? "=" : "", channel);
    rp->rc->left++;
    return true;
}

/* The record ends; a live message is gone for its clients with that. */
static int file_is_gone(struct repair *rp, const struct index_record *found)
{
    struct index_record rec = *found;
    bool was_expunged = rec.internal_flags & FLAG_INTERNAL_EXPUNGED;

    if (rec.internal_flags & FLAG_INTERNAL_UNLINKED) return 0;
    if (rp->rc->flags & RECONSTRUCT_KEEP_LOST) {
        rp->rc->left++; /* who looks for the file has told */
        return 0;
    }
    if (is_on_a_replica(rp, &rec)) return 0;
    reconstruct_say(rp->rc, "%s uid %" PRIu32 " not found", mailbox_name(rp->mailbox), rec.uid);
    rec.internal_flags |= FLAG_INTERNAL_EXPUNGED | FLAG_INTERNAL_UNLINKED;
    int r = mailbox_rewrite_record(rp->mailbox, &rec, was_expunged ? MAILBOX_SILENT : 0);
    rp->changed = true;
    return r ? r : mailbox_repack(rp->mailbox);
}

static void remember(struct message_file **list, size_t *n, const struct message_file *file)
{
    *list = xgrow(*list, *n, sizeof(**list));
    (*list)[(*n)++] = *file;
}

static void file_without_record(struct repair *rp, const struct message_file *file)
{
    uint32_t uid = file->rec.uid, last = mailbox_index_header(rp->mailbox)->last_uid;

    if (!file->size) {
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " is an empty file without a message, left alone",
                        mailbox_name(rp->mailbox), uid);
        rp->rc->left++;
    }
    else if (uid > last && (rp->mailbox->created || uid - last <= UID_JUMP)) {
        remember(&rp->add, &rp->nadd, file);
    }
    else {
        remember(&rp->again, &rp->nagain, file);
    }
}

/* The record has given its file up, and the clean-up did not come to it. */
static void file_of_unlinked(struct repair *rp, const struct message_file *file)
{
    struct index_record rec = { .uid = file->rec.uid };

    if (file->archived) rec.internal_flags = FLAG_INTERNAL_ARCHIVED;
    txn_unlink_lazy(mailbox_txn(rp->mailbox), mailbox_record_fname(rp->mailbox, &rec));
    rp->changed = true;
}

/* ---- numbers of the header that a record proves wrong ---- */

static int raise_header(struct repair *rp, const struct index_record *rec)
{
    const struct index_header *hdr = mailbox_index_header(rp->mailbox);
    struct mailbox_header_update u = { 0 };

    if (rec->uid > hdr->last_uid) {
        reconstruct_say(rp->rc, "%s future uid %" PRIu32 " found", mailbox_name(rp->mailbox),
                        rec->uid);
        u.set_lastuid = true;
        u.last_uid = rec->uid;
    }
    if (rec->modseq > hdr->highestmodseq) {
        reconstruct_say(rp->rc, "%s uid %" PRIu32 " future modseq %" PRIu64 " found",
                        mailbox_name(rp->mailbox), rec->uid, rec->modseq);
        u.set_modseqs = true;
        u.highestmodseq = rec->modseq;
    }
    if (!u.set_lastuid && !u.set_modseqs) return 0;
    rp->changed = true;
    return mailbox_update_header(rp->mailbox, &u);
}

/* ---- the walk ---- */

static int step(struct repair *rp, const struct index_record *rec, struct message_file *file)
{
    int r = rec ? raise_header(rp, rec) : 0;

    if (r) return r;
    if (!rec) {
        file_without_record(rp, file);
        return 0;
    }
    if (!file || !file->size) return file_is_gone(rp, rec);
    if (rec->internal_flags & FLAG_INTERNAL_UNLINKED) {
        file_of_unlinked(rp, file);
        return 0;
    }
    return reconstruct_check_message(rp, rec, file);
}

/* "0." has no place in the order. */
static size_t without_uid(struct repair *rp)
{
    size_t n = 0;

    while (n < rp->files.n && !rp->files.file[n].rec.uid)
        remember(&rp->again, &rp->nagain, &rp->files.file[n++]);
    return n;
}

int reconstruct_walk(struct repair *rp)
{
    struct sync_mailbox_records records;
    struct sync_array files;
    const struct index_record *ours, *theirs;
    struct sync_walk walk;
    size_t skip = without_uid(rp);
    const struct message_file *first = skip ? rp->files.file + skip : rp->files.file;
    int r = 0;

    sync_walk_init(&walk, sync_stream_mailbox(&records, rp->mailbox),
                   sync_stream_array(&files, first, rp->files.n - skip, sizeof(*first)));
    while (!r && sync_walk_next(&walk, &ours, &theirs) != SYNC_WALK_END)
        r = step(rp, ours, theirs ? (struct message_file *)theirs : NULL);
    if (!r) r = walk.error;
    for (size_t i = 0; !r && i < rp->nadd; i++) r = reconstruct_adopt(rp, &rp->add[i], false);
    for (size_t i = 0; !r && i < rp->nagain; i++) r = reconstruct_adopt(rp, &rp->again[i], true);
    return r;
}
