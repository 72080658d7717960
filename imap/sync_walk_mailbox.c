/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_walk_mailbox -- the records of a mailbox as a stream for sync_walk
 *
 * Reads through the mailbox handle, so changes staged in its transaction are seen.
 * A record that cannot be read ends the stream with the mailbox's error: a walk
 * never takes a damaged message for a missing one.
 */
#include <config.h>

#include "sync_walk.h"

#include "mailbox.h"

static int mailbox_records_next(void *rock, const struct index_record **recp)
{
    struct sync_mailbox_records *records = rock;

    while (records->recno < records->num_records) {
        int r = mailbox_read_record(records->mailbox, records->recno + 1, &records->rec);
        if (r) return r;
        records->recno++;
        if (!records->rec.uid) continue; /* taken out by a repair */
        *recp = &records->rec;
        return 0;
    }
    return 0;
}

struct sync_stream sync_stream_mailbox(struct sync_mailbox_records *records,
                                       struct mailbox *mailbox)
{
    records->mailbox = mailbox;
    records->recno = 0;
    records->num_records = mailbox_num_records(mailbox);
    return (struct sync_stream){ mailbox_records_next, records };
}

struct sync_stream sync_stream_mailbox_from(struct sync_mailbox_records *records, struct mailbox *mailbox,
                                            uint32_t uid)
{
    struct sync_stream stream = sync_stream_mailbox(records, mailbox);

    records->recno = mailbox_lower_bound(mailbox, uid) - 1;
    return stream;
}
