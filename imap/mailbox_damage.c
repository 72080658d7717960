/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_damage -- which messages those index records were that can't be read
 *
 * A record with a wrong CRC says nothing that can be trusted. What is around it does: the header, with a CRC of its own, counts the
 * messages; the records beside it bound its UID, as UIDs rise; message files have UIDs for names. If all damaged records are
 * messages (or none is), and each has one UID that it can have had, the others can be served, and these are known for messages that
 * can't be read. They are never taken for expunged ones. Otherwise nothing is known, and the mailbox can't be selected.
 *
 * Found once for a state of the file, and only when something could not be read or found.
 */
#include <config.h>

#include <stdlib.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "seqset.h"
#include "xmalloc.h"

#define MAX_GAP 4096 /* UIDs between two good records that are tried for a file */

/* Damaged records that follow each other. */
struct run {
    uint32_t first, n;     /* recnos; records that a repair has wiped may lie between them */
    uint32_t after, below; /* UIDs are between these */
};

static int read_disk_record(const struct mailbox *mailbox, uint32_t recno, struct index_record *rec)
{
    return index_record_read(rec, mailbox->disk.minor_version, mailbox_record_bytes(mailbox, recno), mailbox->disk.record_size);
}

static bool has_file(const struct mailbox *mailbox, uint32_t uid)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;
    bool there = false;

    for (int archived = 0; archived < 2 && !there; archived++)
        there = !mailbox_path_message(&mailbox->place, archived, uid, &path) && !diskio_stat(buf_cstring(&path), &st);
    buf_free(&path);
    return there;
}

/* Does one of them give a possible UID of which there is no file? Then it is the file that is gone, and another is no proof. */
static bool lacks_file(const struct mailbox *mailbox, const struct run *run)
{
    struct index_record rec;

    for (uint32_t recno = run->first, n = 0; n < run->n; recno++) {
        if (!read_disk_record(mailbox, recno, &rec)) continue;
        uint32_t uid = index_record_read_uid(mailbox_record_bytes(mailbox, recno));
        if (uid > run->after && uid < run->below && !has_file(mailbox, uid)) return true;
        n++;
    }
    return false;
}

/* All that have a file, if they are as many as the records. */
static bool by_files(struct mailbox *mailbox, const struct run *run, struct seqset *uids)
{
    uint32_t gap = run->below - run->after - 1;
    struct seqset *found = seqset_init(0, SEQ_SPARSE);

    for (uint32_t i = 1; i <= gap && gap <= MAX_GAP; i++)
        if (gap == run->n || has_file(mailbox, run->after + i)) seqset_add(found, run->after + i, true);
    bool known = (uint32_t)seqset_count(found) == run->n && (gap == run->n || !lacks_file(mailbox, run));
    if (known) seqset_join(uids, found);
    seqset_free(found);
    return known;
}

/* What the records themselves say, if it is possible and each has its file. */
static bool by_records(struct mailbox *mailbox, const struct run *run, struct seqset *uids)
{
    struct seqset *found = seqset_init(0, SEQ_SPARSE);
    struct index_record rec;
    uint32_t last = run->after, n = 0;

    for (uint32_t recno = run->first; n < run->n; recno++) {
        if (!read_disk_record(mailbox, recno, &rec)) continue;
        uint32_t uid = index_record_read_uid(mailbox_record_bytes(mailbox, recno));
        if (uid <= last || uid >= run->below || !has_file(mailbox, uid)) break;
        seqset_add(found, uid, true);
        last = uid;
        n++;
    }
    bool known = n == run->n;
    if (known) seqset_join(uids, found);
    seqset_free(found);
    return known;
}

static bool identify(struct mailbox *mailbox, struct run *run, uint32_t below)
{
    struct seqset *uids = mailbox->damage.uids;

    if (!run->n) return true;
    run->below = below;
    bool known = below > run->after && below - run->after - 1 >= run->n &&
                 (by_records(mailbox, run, uids) || by_files(mailbox, run, uids));
    run->n = 0;
    return known;
}

/* Of all runs, from one good record to the next. */
static bool identify_all(struct mailbox *mailbox)
{
    struct run run = { 0 };
    struct index_record rec;
    bool known = true;

    for (uint32_t recno = 1; known && recno <= mailbox->disk.num_records; recno++) {
        if (read_disk_record(mailbox, recno, &rec)) {
            if (!run.n++) run.first = recno;
        }
        else if (rec.uid) {
            known = identify(mailbox, &run, rec.uid);
            run.after = rec.uid;
        }
    }
    return known && identify(mailbox, &run, mailbox->disk.last_uid + 1);
}

static void look(struct mailbox *mailbox)
{
    struct mailbox_damage *d = &mailbox->damage;
    struct index_record rec;
    uint32_t live = 0;

    d->looked = true;
    d->records = 0;
    d->uids = seqset_init(0, SEQ_SPARSE);
    for (uint32_t recno = 1; recno <= mailbox->disk.num_records; recno++) {
        if (read_disk_record(mailbox, recno, &rec))
            d->records++;
        else if (rec.uid)
            live += !(rec.internal_flags & FLAG_INTERNAL_EXPUNGED);
    }
    uint32_t messages = mailbox->disk.exists - live;
    d->unknown = d->records && messages && (messages != d->records || !identify_all(mailbox));
    if (d->unknown) seqset_clear(d->uids);
}

void mailbox_damage_forget(struct mailbox *mailbox)
{
    seqset_free(mailbox->damage.uids);
    mailbox->damage = (struct mailbox_damage){ 0 };
}

bool mailbox_has_damage(struct mailbox *mailbox)
{
    if (!mailbox->damage.looked) look(mailbox);
    return mailbox->damage.records != 0;
}

int mailbox_damaged_uids(struct mailbox *mailbox, const struct seqset **uids)
{
    if (!mailbox->damage.looked) look(mailbox);
    *uids = mailbox->damage.uids;
    return mailbox->damage.unknown ? IMAP_MAILBOX_CHECKSUM : 0;
}

int mailbox_damaged_size(struct mailbox *mailbox, uint32_t uid, uint32_t *size)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;
    int r = IMAP_IOERROR;

    for (int archived = 0; archived < 2 && r; archived++) {
        if (mailbox_path_message(&mailbox->place, archived, uid, &path) || diskio_stat(buf_cstring(&path), &st)) continue;
        *size = (uint32_t)cyr_min(st.st_size, UINT32_MAX);
        r = 0;
    }
    buf_free(&path);
    return r;
}
