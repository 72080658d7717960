/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_ranges_mailbox -- the messages of a mailbox as one end of sync_ranges
 *
 * A record that cannot be read ends it with the mailbox's error: a damaged message must not be taken for one that is not there.
 */
#include <config.h>

#include "sync_ranges.h"

#include "imap_err.h"
#include "mailbox.h"

static int one_record(struct mailbox *mailbox, const struct index_record *rec, sync_ranges_fn *fn, void *fnrock)
{
    struct sync_record record;
    int r = sync_record_read(mailbox, rec, &record);

    if (!r) r = fn(&record, fnrock);
    sync_record_fini(&record);
    return r;
}

static int each(void *rock, uint32_t first, uint32_t last, sync_ranges_fn *fn, void *fnrock)
{
    struct mailbox *mailbox = rock;
    uint32_t prev = first - 1;
    struct index_record rec;

    for (uint32_t recno = mailbox_lower_bound(mailbox, first); recno <= mailbox_num_records(mailbox); recno++) {
        int r = mailbox_read_record(mailbox, recno, &rec);
        if (r) return r;
        if (!rec.uid) continue; /* taken out by a repair */
        if (rec.uid <= prev) return IMAP_MAILBOX_BADFORMAT;
        if (rec.uid > last) return 0;
        prev = rec.uid;
        if (!(rec.internal_flags & FLAG_INTERNAL_EXPUNGED)) r = one_record(mailbox, &rec, fn, fnrock);
        if (r) return r;
    }
    return 0;
}

struct sync_ranges_source sync_ranges_of(struct mailbox *mailbox)
{
    return (struct sync_ranges_source){ each, mailbox };
}
