/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reconstruct_verify -- reads all there is of a mailbox, slowly if need be, and changes none of it
 *
 * Records of the index and the cache by their CRCs, message files by their GUIDs. When a mailbox has been read to its end and is whole, the
 * time goes to <configdirectory>/verified.db, by uniqueid: the next run goes on where this one ended, and leaves out what was
 * read not long ago. Without a lock but for moments; what changes meanwhile is no finding.
 */
#include <config.h>

#include <inttypes.h>

#include "imap_err.h"
#include "mailbox_internal.h"
#include "reconstruct_internal.h"
#include "verified_pass.h"

/* ---- index and cache ---- */

/* Under the shared lock: nothing moves. Mailboxes of old versions have no sums. */
static int verify_records(struct reconstruct *rc, const char *name)
{
    struct mailbox *mailbox = NULL;
    struct index_record rec;

    int r = mailbox_open_irl(name, &mailbox);
    bool sums = !r && mailbox_index_header(mailbox)->minor_version >= 12;
    for (uint32_t recno = 1; !r && recno <= mailbox_num_records(mailbox); recno++) {
        int bad = mailbox_read_record(mailbox, recno, &rec);

        if (bad)
            reconstruct_say(rc, "%s record %" PRIu32 ": %s", name, recno, error_message(bad));
        else if (sums && rec.uid && !(rec.internal_flags & FLAG_INTERNAL_UNLINKED) &&
                 !mailbox_cache_isgood(mailbox, &rec))
            reconstruct_say(rc, "%s uid %" PRIu32 " cache record is missing or damaged", name, rec.uid);
    }
    mailbox_close(&mailbox);
    return r;
}

/* ---- the whole ---- */

int reconstruct_verify(struct reconstruct *rc, const mbentry_t *entry)
{
    unsigned before = rc->findings;
    struct reconstruct_refill files = { .rate = rc->rate, .stop = rc->stop };
    time_t began = time(NULL);

    int r = verify_records(rc, entry->name);
    if (!r) r = reconstruct_find_refill(entry->name, &files);
    for (size_t i = 0; !r && i < files.n; i++)
        reconstruct_say(rc, "%s uid %" PRIu32 " %s", entry->name, files.v[i].uid, files.v[i].fault);
    reconstruct_free_refill(&files);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_CANCELLED) return 0;
    if (r) {
        reconstruct_say(rc, "%s can't be opened: %s", entry->name, error_message(r));
        return 0;
    }
    return rc->findings == before && entry->uniqueid ? verified_remember(entry->uniqueid, began) : 0;
}
