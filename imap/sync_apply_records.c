/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_apply_records -- the records of APPLY MAILBOX over those of the replica (handbook 03 §7)
 *
 * Records that only the replica has are left alone: the checksum decides about them.
 * Records expunged on both ends are equal, whatever else differs. Everything is staged;
 * whoever calls aborts the transaction on an error, so a refused list changes nothing.
 */
#include <config.h>

#include "sync_apply.h"

#include <string.h>

#include "imap_err.h"
#include "sync_walk.h"
#include "xsyslog.h"

struct apply {
    struct mailbox *mailbox;
    const struct sync_reserve *reserve;
    bool force;
    bool *appendedp;
    uint32_t last_uid; /* of the replica before the command */
    uint32_t max_uid;  /* LAST_UID of the command */
};

static bool is_expunged(const struct index_record *rec)
{
    return rec->internal_flags & FLAG_INTERNAL_EXPUNGED;
}

/* false: why they cannot be the same message, logged */
static bool check_pair(const struct apply *a, const struct index_record *ours,
                       const struct index_record *theirs)
{
    const char *why = NULL;

    if (!message_guid_equal(&ours->guid, &theirs->guid))
        why = "guid mismatch";
    else if (ours->modseq > theirs->modseq && !a->force)
        why = "higher modseq on replica";
    else if (is_expunged(ours))
        why = "expunged on replica";
    if (!why) return true;
    syslog(LOG_NOTICE, "SYNCNOTICE: %s: mailbox=<%s> uid=<%u>", why, mailbox_name(a->mailbox),
           ours->uid);
    return false;
}

static int apply_both(const struct apply *a, const struct index_record *ours,
                      struct sync_record *from)
{
    const struct index_record *theirs = &from->rec;

    if (is_expunged(ours) && is_expunged(theirs)) return 0;
    if (!check_pair(a, ours, theirs)) return IMAP_SYNC_CHECKSUM;

    struct index_record rec = *ours;
    rec.modseq = theirs->modseq;
    rec.last_updated = theirs->last_updated;
    rec.internaldate = theirs->internaldate;
    rec.system_flags = theirs->system_flags;
    rec.cid = theirs->cid;
    rec.savedate = theirs->savedate;
    rec.createdmodseq = theirs->createdmodseq;
    int r = sync_record_set_userflags(a->mailbox, &from->userflags, &rec);
    if (r) return r;
    sync_record_fit(from, mailbox_index_header(a->mailbox)->minor_version, &rec);

    /* while it is alive: the annotations of an expunged message count no more */
    r = sync_annots_store_message(a->mailbox, &rec, &from->annots);
    if (r) return r;
    if (is_expunged(theirs)) return mailbox_expunge_record(a->mailbox, &rec, MAILBOX_SILENT);
    if (!memcmp(&rec, ours, sizeof(rec))) return 0;
    return mailbox_rewrite_record(a->mailbox, &rec, MAILBOX_SILENT);
}

static int apply_missing(const struct apply *a, struct sync_record *from)
{
    const struct index_record *theirs = &from->rec;

    if (theirs->uid > a->max_uid) {
        syslog(LOG_ERR, "SYNCERROR: record behind LAST_UID: mailbox=<%s> uid=<%u> last_uid=<%u>",
               mailbox_name(a->mailbox), theirs->uid, a->max_uid);
        return IMAP_SYNC_CHECKSUM;
    }
    if (theirs->uid <= a->last_uid) {
        if (is_expunged(theirs)) return 0; /* purged here, or never had */
        syslog(LOG_NOTICE, "SYNCNOTICE: record missing on replica: mailbox=<%s> uid=<%u>",
               mailbox_name(a->mailbox), theirs->uid);
        return IMAP_SYNC_CHECKSUM;
    }
    *a->appendedp = true;
    return sync_append_record(a->mailbox, from, a->reserve);
}

int sync_apply_records(struct mailbox *mailbox, const struct sync_folder *folder,
                       struct sync_records *incoming, const struct sync_reserve *reserve,
                       unsigned flags, bool *appendedp)
{
    struct apply a = { mailbox,
                       reserve,
                       flags & SYNC_APPLY_FORCE,
                       appendedp,
                       mailbox_index_header(mailbox)->last_uid,
                       folder->last_uid };
    struct sync_mailbox_records have;
    struct sync_array in;
    struct sync_walk walk;
    const struct index_record *ours, *theirs;

    sync_walk_init(&walk, sync_stream_mailbox(&have, mailbox),
                   sync_stream_array(&in, incoming->v, incoming->n, sizeof(*incoming->v)));
    for (;;) {
        enum sync_walk_side side = sync_walk_next(&walk, &ours, &theirs);
        if (side == SYNC_WALK_END) break;
        if (side == SYNC_WALK_LOCAL) continue;
        /* the array's elements begin with their record; the walk stands behind it */
        struct sync_record *from = &incoming->v[in.pos - 1];
        int r = side == SYNC_WALK_BOTH ? apply_both(&a, ours, from) : apply_missing(&a, from);
        if (r) return r;
    }
    if (walk.error != IMAP_MAILBOX_BADFORMAT || walk.error_side == SYNC_WALK_LOCAL)
        return walk.error;
    syslog(LOG_ERR, "SYNCERROR: records out of order: mailbox=<%s> uid=<%u>", mailbox_name(mailbox),
           walk.error_uid);
    return IMAP_SYNC_CHECKSUM;
}
