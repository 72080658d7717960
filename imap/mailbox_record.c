/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_record -- the records of a mailbox: staged ones above, mapped bytes below
 *
 * A staged record is found in constant time through `slots`, one number per record of the
 * mailbox, made at the first change. Nothing else is allocated per record of
 * the file, and reading costs no system call.
 *
 * UIDs rise with recno but for records that a repair has wiped (UID 0), which the
 * search steps over. A record with a wrong CRC is an error for that record only.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "seqset.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* How often a record that others may be writing at this moment is read again. */
#define TORN_READS 8

/* ---- the layer above ---- */

/* The slot of a recno, or the free one where it would be. There are slots. */
static struct staged_slot *find_slot(const struct mailbox *mailbox, uint32_t recno)
{
    size_t mask = mailbox->nslots - 1;
    size_t i = (recno * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & mask;

    while (mailbox->slots[i].recno && mailbox->slots[i].recno != recno) i = (i + 1) & mask;
    return &mailbox->slots[i];
}

static void grow_slots(struct mailbox *mailbox)
{
    struct staged_slot *old = mailbox->slots;
    size_t n = mailbox->nslots;

    if (n >= 2 * (mailbox->nstaged + 1)) return;
    mailbox->nslots = n ? 2 * n : 16;
    mailbox->slots = xcalloc(mailbox->nslots, sizeof(*mailbox->slots));
    for (size_t i = 0; i < n; i++)
        if (old[i].recno) *find_slot(mailbox, old[i].recno) = old[i];
    free(old);
}

struct staged_record *mailbox_staged(const struct mailbox *mailbox, uint32_t recno)
{
    const struct staged_slot *slot = mailbox->nslots ? find_slot(mailbox, recno) : NULL;

    return slot && slot->recno ? &mailbox->staged[slot->number] : NULL;
}

struct staged_record *mailbox_stage_record(struct mailbox *mailbox, uint32_t recno)
{
    struct staged_record *staged = mailbox_staged(mailbox, recno);

    if (staged) return staged;
    grow_slots(mailbox);
    if (mailbox->nstaged == mailbox->staged_alloc) {
        mailbox->staged_alloc = grow_alloc(mailbox->staged_alloc, mailbox->nstaged + 1);
        mailbox->staged = xreallocarray(mailbox->staged, mailbox->staged_alloc,
                                        sizeof(*mailbox->staged));
    }
    *find_slot(mailbox, recno) = (struct staged_slot){ recno, (uint32_t)mailbox->nstaged };
    staged = &mailbox->staged[mailbox->nstaged++];
    memset(staged, 0, sizeof(*staged));
    return staged;
}

/* ---- reading ---- */

const char *mailbox_record_bytes(const struct mailbox *mailbox, uint32_t recno)
{
    return mailbox->map.base + index_record_offset(&mailbox->disk, recno);
}

static void log_bad_record(struct mailbox *mailbox, uint32_t recno, int r)
{
    if (bv_isset(&mailbox->bad_logged, recno)) return;
    bv_set(&mailbox->bad_logged, recno);
    xsyslog_errno(LOG_ERR, 0, "IOERROR: index record is damaged",
                  "mailbox=<%s> uniqueid=<%s> recno=<%u> uid=<%u> error=<%s> filename=<%s>",
                  mailbox->mbentry->name,
                  mailbox_uniqueid(mailbox) ? mailbox_uniqueid(mailbox) : "", recno,
                  index_record_read_uid(mailbox_record_bytes(mailbox, recno)), error_message(r),
                  mailbox->index_path);
}

uint32_t mailbox_num_records(const struct mailbox *mailbox)
{
    return mailbox->hdr.num_records;
}

int mailbox_read_record(struct mailbox *mailbox, uint32_t recno, struct index_record *rec)
{
    if (!recno || recno > mailbox->hdr.num_records) return IMAP_NOTFOUND;
    const struct staged_record *staged = mailbox_staged(mailbox, recno);
    if (staged) {
        *rec = staged->rec;
        return 0;
    }
    int tries = mailbox->txn ? 1 : TORN_READS; /* a stuck record may be finished under a reader's lock */
    int r;
    do {
        r = index_record_read(rec, mailbox->disk.minor_version,
                              mailbox_record_bytes(mailbox, recno), mailbox->disk.record_size);
    } while (r && --tries);
    rec->recno = recno;
    if (r) log_bad_record(mailbox, recno, r);
    return r;
}

static uint32_t uid_at(const struct mailbox *mailbox, uint32_t recno)
{
    const struct staged_record *staged = mailbox_staged(mailbox, recno);

    return staged ? staged->rec.uid : index_record_read_uid(mailbox_record_bytes(mailbox, recno));
}

uint32_t mailbox_lower_bound(const struct mailbox *mailbox, uint32_t uid)
{
    uint32_t low = 1, high = mailbox->hdr.num_records + 1;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2, at = mid;
        uint32_t found = uid_at(mailbox, at);

        while (!found && at > low) found = uid_at(mailbox, --at);
        if (found < uid)
            low = mid + 1;
        else
            high = at;
    }
    return low;
}

/* The UID of a damaged record may lead the search astray, and be that of another one. */
static int find_one_by_one(struct mailbox *mailbox, uint32_t uid, struct index_record *rec)
{
    const struct seqset *damaged;

    for (uint32_t recno = 1; recno <= mailbox->hdr.num_records; recno++)
        if (uid_at(mailbox, recno) == uid && !mailbox_read_record(mailbox, recno, rec)) return 0;
    int r = mailbox_damaged_uids(mailbox, &damaged);
    if (!r) r = seqset_ismember(damaged, uid) ? IMAP_MAILBOX_CHECKSUM : IMAP_NOTFOUND;
    rec->uid = uid;
    return r;
}

int mailbox_find_uid(struct mailbox *mailbox, uint32_t uid, struct index_record *rec)
{
    if (!uid || uid > mailbox->hdr.last_uid) return IMAP_NOTFOUND;
    uint32_t recno = mailbox_lower_bound(mailbox, uid);
    if (recno <= mailbox->hdr.num_records && uid_at(mailbox, recno) == uid && !mailbox_read_record(mailbox, recno, rec)) return 0;
    return mailbox_has_damage(mailbox) ? find_one_by_one(mailbox, uid, rec) : IMAP_NOTFOUND;
}

/* The header's number of messages tells whether one of the records that can't be read is one. */
static int are_all_messages_readable(struct mailbox *mailbox)
{
    const struct seqset *damaged;
    int r = mailbox_damaged_uids(mailbox, &damaged);

    return r || !seqset_isempty(damaged) ? IMAP_MAILBOX_CHECKSUM : 0;
}

/* The first recno of those above since_uid, and of those in front of them that can't be read. */
static uint32_t first_above(struct mailbox *mailbox, uint32_t since_uid)
{
    uint32_t recno = mailbox_lower_bound(mailbox, since_uid + 1);
    struct index_record rec;

    while (recno > 1 && (mailbox_read_record(mailbox, recno - 1, &rec) || !rec.uid || rec.uid > since_uid)) recno--;
    return recno;
}

int mailbox_foreach(struct mailbox *mailbox, uint32_t since_uid, modseq_t since_modseq,
                    unsigned flags, mailbox_iter_cb *cb, void *rock)
{
    uint32_t skip = 0;
    uint32_t last = mailbox->hdr.num_records;
    struct index_record rec;
    bool unreadable = false;

    if (since_uid == UINT32_MAX) return 0;
    if (flags & MAILBOX_ITER_SKIP_EXPUNGED) skip |= FLAG_INTERNAL_EXPUNGED;
    if (flags & MAILBOX_ITER_SKIP_UNLINKED) skip |= FLAG_INTERNAL_UNLINKED;
    for (uint32_t recno = first_above(mailbox, since_uid); recno <= last; recno++) {
        if (mailbox_read_record(mailbox, recno, &rec)) {
            unreadable = true;
            continue;
        }
        if (rec.uid <= since_uid || (rec.internal_flags & skip)) continue;
        if (since_modseq && rec.modseq <= since_modseq) continue;
        int r = cb(mailbox, &rec, rock);
        if (r) return r;
    }
    return unreadable && (flags & MAILBOX_ITER_STRICT) ? are_all_messages_readable(mailbox) : 0;
}
