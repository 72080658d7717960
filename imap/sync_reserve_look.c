/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_reserve_look -- finds messages in the mailboxes of this server by their GUIDs
 *
 * Their bytes are checked, and a link or a copy of what is right is kept. A mailbox is held for one batch of files at a time.
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "mailbox.h"
#include "message_guid.h"
#include "sync_reserve.h"
#include "xsyslog.h"

#define RESERVE_BATCH 1024 /* files under one lock */

struct reserve {
    struct sync_reserve *area;
    const char *partition;
    hash_table *wanted; /* GUIDs in hex, not yet found */
    unsigned batch;
    uint32_t last_uid;
    bool more; /* the batch was full */
};

static bool file_is_right(struct mailbox *mailbox, const struct index_record *rec)
{
    struct buf data = BUF_INITIALIZER;

    if (mailbox_map_bytes(mailbox, rec, &data)) return false;
    int r = mailbox_verify_bytes(mailbox, rec, &data);
    buf_free(&data);
    return !r;
}

static int reserve_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct reserve *rs = rock;
    char guid[MESSAGE_GUID_STRLEN];

    message_guid_encode(&rec->guid, guid);
    if (!hash_lookup(guid, rs->wanted)) return 0;
    if (rs->batch == RESERVE_BATCH) {
        rs->more = true;
        return IMAP_OK_COMPLETED;
    }
    rs->batch++;
    rs->last_uid = rec->uid;
    if (!file_is_right(mailbox, rec)) return 0;
    int r = sync_reserve_link(rs->area, rs->partition, &rec->guid,
                              mailbox_record_fname(mailbox, rec));
    if (!r) hash_del(guid, rs->wanted);
    if (!hash_numrecords(rs->wanted)) return IMAP_OK_COMPLETED;
    return 0;
}

static void reserve_mailbox(struct reserve *rs, const mbentry_t *mbentry)
{
    int r = 0;

    rs->last_uid = 0;
    do {
        struct mailbox *mailbox = NULL;
        rs->batch = 0;
        rs->more = false;
        r = mailbox_open_mbentry(mbentry, &mailbox);
        if (r) break;
        r = mailbox_foreach(mailbox, rs->last_uid, 0, MAILBOX_ITER_SKIP_UNLINKED, reserve_record,
                            rs);
        mailbox_close(&mailbox);
    } while (rs->more);
    if (r && r != IMAP_OK_COMPLETED)
        syslog(LOG_ERR, "SYNCERROR: cannot look for messages in %s: %s", mbentry->name,
               error_message(r));
}

/* There a link is enough. */
static bool is_near(const struct reserve *rs, const mbentry_t *mbentry)
{
    return mbentry->partition && !strcmp(mbentry->partition, rs->partition);
}

void sync_reserve_look(struct sync_reserve *area, const char *partition, const ptrarray_t *mbentries, hash_table *wanted)
{
    struct reserve rs = { .area = area, .partition = partition, .wanted = wanted };

    for (int near = 1; near >= 0; near--) {
        for (int i = 0; i < ptrarray_size(mbentries) && hash_numrecords(wanted); i++) {
            const mbentry_t *mbentry = ptrarray_nth(mbentries, i);
            if (is_near(&rs, mbentry) == near) reserve_mailbox(&rs, mbentry);
        }
    }
}
