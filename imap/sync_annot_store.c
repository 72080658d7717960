/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_annot_store -- stored annotations into sets, and sets into the store
 *
 * Storing compares first: an annotation that is already as it should be is not
 * written, so applying the same state twice changes nothing on disk. All changes
 * are silent and take the modseq of the master.
 */
#include <config.h>

#include "sync_annot.h"

#include <string.h>

#include "annotate.h"
#include "mailbox.h"
#include "sync_crc.h"

struct read_rock {
    struct sync_annots *set;
    uint32_t minor; /* 0: annotations of a mailbox */
};

static int read_cb(const char *mboxname, uint32_t uid, const struct annotation *annot, void *rock)
{
    struct read_rock *read = rock;

    if (!buf_len(&annot->value)) return 0; /* a tombstone is never sent */
    if (read->minor && !*annot->userid && sync_crc_annotation_isvirtual(annot->entry, read->minor))
        return 0;
    sync_annots_add(read->set, annot->entry, annot->userid, buf_base(&annot->value),
                    buf_len(&annot->value), annot->modseq);
    return 0;
}

int sync_annots_read_mailbox(const mbentry_t *mbentry, struct txn *txn, struct sync_annots *set)
{
    struct read_rock rock = { set, 0 };

    sync_annots_fini(set);
    int r = annotatemore_foreach(mbentry, NULL, NULL, txn, read_cb, &rock);
    sync_annots_sort(set);
    return r;
}

int sync_annots_read_message(struct mailbox *mailbox, uint32_t uid, uint32_t minor,
                             struct sync_annots *set)
{
    struct read_rock rock = { set, minor };

    sync_annots_fini(set);
    int r = annotate_msg_foreach(mailbox, uid, read_cb, &rock);
    sync_annots_sort(set);
    return r;
}

/* Where the values of one set go. */
struct target {
    struct txn *txn;
    const mbentry_t *mbentry;
    struct mailbox *mailbox; /* NULL: the mailbox itself */
    struct index_record *rec;
};

static int target_write(const struct target *to, const struct sync_annot *a,
                        const struct buf *value)
{
    if (to->mailbox)
        return annotate_msg_write(to->mailbox, to->rec, a->entry, a->userid, value,
                                  value ? a->modseq : to->rec->modseq);
    return annotatemore_write(to->txn, to->mbentry, a->entry, a->userid, value, MAILBOX_SILENT);
}

static int target_store(const struct target *to, const struct sync_annots *have,
                        const struct sync_annots *want)
{
    int r = 0;

    for (size_t i = 0; i < have->n && !r; i++)
        if (!sync_annots_find(want, have->v[i].entry, have->v[i].userid))
            r = target_write(to, &have->v[i], NULL);
    for (size_t i = 0; i < want->n && !r; i++) {
        const struct sync_annot *a = &want->v[i];
        const struct sync_annot *old = sync_annots_find(have, a->entry, a->userid);
        if (old && buf_equal(&old->value, &a->value) && (!to->mailbox || old->modseq == a->modseq))
            continue;
        r = target_write(to, a, &a->value);
    }
    return r;
}

int sync_annots_store_mailbox(struct txn *txn, const mbentry_t *mbentry,
                              const struct sync_annots *set)
{
    struct target to = { txn, mbentry, NULL, NULL };
    struct sync_annots have = SYNC_ANNOTS_INITIALIZER;
    int r = sync_annots_read_mailbox(mbentry, txn, &have);

    if (!r) r = target_store(&to, &have, set);
    sync_annots_fini(&have);
    return r;
}

int sync_annots_store_message(struct mailbox *mailbox, struct index_record *rec,
                              const struct sync_annots *set)
{
    struct target to = { NULL, NULL, mailbox, rec };
    struct sync_annots have = SYNC_ANNOTS_INITIALIZER;
    uint32_t minor = mailbox_index_header(mailbox)->minor_version;
    int r = sync_annots_read_message(mailbox, rec->uid, minor, &have);

    if (!r) r = target_store(&to, &have, set);
    sync_annots_fini(&have);
    return r;
}
