/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_ranges -- GET RANGES: digests of ranges of messages, or their records (doc/sync-extensions.md, X-RANGES)
 *
 * Each answer tells the state of the mailbox it is of, so that the client sees when two of them are not of the same.
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "sync_folder.h"
#include "sync_folder_format.h"
#include "sync_name.h"
#include "sync_ranges.h"

struct question {
    const char *name, *uniqueid;
    bool records;
    struct sync_ranges ranges;
};

/* Either DIGESTS or RECORDS. */
static int question_parse(const struct dlist *dl, struct question *q)
{
    struct dlist *digests = NULL, *records = NULL;

    if (!sync_getname(dl, "MBOXNAME", &q->name) || !dlist_getatom(dl, "UNIQUEID", &q->uniqueid))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    q->records = dlist_getlist(dl, "RECORDS", &records);
    if (dlist_getlist(dl, "DIGESTS", &digests) == q->records) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return sync_ranges_parse(q->records ? records : digests, &q->ranges);
}

static int answer_text(struct question *q, struct mailbox *mailbox, struct spill *text)
{
    struct sync_format format = { .mailbox = q->records ? mailbox : NULL, .ranges = &q->ranges };
    struct sync_ranges_source source = sync_ranges_of(mailbox);
    struct sync_folder folder = { 0 };
    int r = sync_folder_read(mailbox, &folder);

    if (r) return r;
    struct dlist *kl = sync_ranges_print_state(&folder);
    if (!q->records) {
        r = sync_ranges_sum(&source, q->ranges.v, q->ranges.n);
        sync_ranges_print_digests(&q->ranges, kl);
    }
    if (!r) r = sync_kvlist_spill(kl, &format, text);
    dlist_free(&kl);
    sync_folder_fini(&folder);
    return r;
}

static int answer(struct synccmd_session *session, struct question *q, struct spill *text)
{
    struct mailbox *mailbox = NULL;
    uint64_t lsn = 0;
    int r = mailbox_open_irl(q->name, &mailbox);

    if (r) return r;
    if (!mailbox_uniqueid(mailbox) || strcmp(mailbox_uniqueid(mailbox), q->uniqueid) != 0) r = IMAP_MAILBOX_MOVED;
    if (!r) r = answer_text(q, mailbox, text);
    lsn = mailbox_seen_lsn(mailbox);
    mailbox_close(&mailbox);
    if (!r) r = txn_wait(lsn);
    return r ? r : synccmd_putspill(session, text);
}

int synccmd_get_ranges(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct question q = { 0 };
    struct spill text;
    int r = question_parse(dl, &q);

    spill_init(&text, config_getstring(IMAPOPT_TEMP_PATH), SPILL_MEMORY);
    if (!r) r = answer(session, &q, &text);
    spill_fini(&text);
    sync_ranges_fini(&q.ranges);
    return r;
}
