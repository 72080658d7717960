/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_reserve -- APPLY RESERVE: which of these messages are here already? (handbook 03 §6.1)
 *
 * Looks into the mailboxes named, those of the wanted partition first, checks the bytes and
 * links what it finds. A mailbox is held for one batch of files at a time.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "imap_err.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "message_guid.h"
#include "ptrarray.h"
#include "sync_name.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define RESERVE_BATCH 1024 /* files under one lock */

struct reserve {
    struct sync_reserve *area;
    const char *partition;
    hash_table wanted; /* GUIDs in hex, not yet found */
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
    if (!hash_lookup(guid, &rs->wanted)) return 0;
    if (rs->batch == RESERVE_BATCH) {
        rs->more = true;
        return IMAP_OK_COMPLETED;
    }
    rs->batch++;
    rs->last_uid = rec->uid;
    if (!file_is_right(mailbox, rec)) return 0;
    int r = sync_reserve_link(rs->area, rs->partition, &rec->guid,
                              mailbox_record_fname(mailbox, rec));
    if (!r) hash_del(guid, &rs->wanted);
    if (!hash_numrecords(&rs->wanted)) return IMAP_OK_COMPLETED;
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

static void put_wanted(struct reserve *rs, const struct dlist *guids)
{
    for (const struct dlist *item = guids->head; item; item = item->next) {
        struct message_guid guid;
        char text[MESSAGE_GUID_STRLEN];
        if (!dlist_toguid(item, &guid)) continue;
        if (sync_reserve_find(rs->area, rs->partition, &guid)) continue;
        hash_insert(message_guid_encode(&guid, text), rs, &rs->wanted);
    }
}

/* Those of the partition first: there a link is enough. */
static void look_up(struct reserve *rs, const struct dlist *names)
{
    ptrarray_t others = PTRARRAY_INITIALIZER;

    for (const struct dlist *item = names->head; item && hash_numrecords(&rs->wanted);
         item = item->next) {
        const char *name;
        mbentry_t *mbentry = NULL;
        if (!sync_toname(item, &name) || mboxlist_lookup(name, &mbentry, NULL)) continue;
        if (mbentry->partition && !strcmp(mbentry->partition, rs->partition)) {
            reserve_mailbox(rs, mbentry);
            mbentry_free(&mbentry);
        }
        else {
            ptrarray_append(&others, mbentry);
        }
    }
    for (int i = 0; i < ptrarray_size(&others); i++) {
        mbentry_t *mbentry = ptrarray_nth(&others, i);
        if (hash_numrecords(&rs->wanted)) reserve_mailbox(rs, mbentry);
        mbentry_free(&mbentry);
    }
    ptrarray_fini(&others);
}

int synccmd_apply_reserve(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct reserve rs = { .area = session->reserve };
    struct dlist *names, *guids;

    if (!dlist_getatom(dl, "PARTITION", &rs.partition) || !dlist_getlist(dl, "MBOXNAME", &names) ||
        !dlist_getlist(dl, "GUID", &guids))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    construct_hash_table(&rs.wanted, guids->nchildren);
    put_wanted(&rs, guids);
    look_up(&rs, names);

    struct dlist *missing = dlist_newlist(NULL, "MISSING");
    for (const struct dlist *item = guids->head; item; item = item->next) {
        struct message_guid guid;
        char text[MESSAGE_GUID_STRLEN];
        if (!dlist_toguid(item, &guid)) continue;
        if (!hash_lookup(message_guid_encode(&guid, text), &rs.wanted)) continue;
        dlist_setguid(missing, NULL, &guid);
    }
    free_hash_table(&rs.wanted, NULL);
    if (missing->head) return synccmd_put(session, missing);
    dlist_free(&missing);
    return 0;
}
