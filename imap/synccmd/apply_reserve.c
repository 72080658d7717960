/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_reserve -- APPLY RESERVE: which of these messages are here already? (handbook 03 §6.1)
 *
 * Looks into the mailboxes named, and keeps what it finds (sync_reserve_look).
 */
#include <config.h>

#include "synccmd.h"

#include "hash.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "message_guid.h"
#include "ptrarray.h"
#include "sync_client.h"
#include "sync_name.h"

static void put_wanted(const struct synccmd_session *session, const char *partition, const struct dlist *guids,
                       hash_table *wanted)
{
    for (const struct dlist *item = guids->head; item; item = item->next) {
        struct message_guid guid;
        char text[MESSAGE_GUID_STRLEN];
        if (!dlist_toguid(item, &guid)) continue;
        if (sync_reserve_find(session->reserve, partition, &guid)) continue;
        hash_insert(message_guid_encode(&guid, text), wanted, wanted);
    }
}

static void look(const struct synccmd_session *session, const char *partition, const struct dlist *names, hash_table *wanted)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;

    for (const struct dlist *item = names->head; item && hash_numrecords(wanted); item = item->next) {
        const char *name;
        mbentry_t *mbentry = NULL;
        if (!sync_toname(item, &name) || mboxlist_lookup(name, &mbentry, NULL)) continue;
        ptrarray_append(&entries, mbentry);
    }
    sync_reserve_look(session->reserve, partition, &entries, wanted);
    sync_local_fini(&entries);
}

int synccmd_apply_reserve(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct dlist *names, *guids;
    const char *partition;
    hash_table wanted;

    if (!dlist_getatom(dl, "PARTITION", &partition) || !dlist_getlist(dl, "MBOXNAME", &names) ||
        !dlist_getlist(dl, "GUID", &guids))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    construct_hash_table(&wanted, guids->nchildren);
    put_wanted(session, partition, guids, &wanted);
    look(session, partition, names, &wanted);

    struct dlist *missing = dlist_newlist(NULL, "MISSING");
    for (const struct dlist *item = guids->head; item; item = item->next) {
        struct message_guid guid;
        char text[MESSAGE_GUID_STRLEN];
        if (!dlist_toguid(item, &guid)) continue;
        if (!hash_lookup(message_guid_encode(&guid, text), &wanted)) continue;
        dlist_setguid(missing, NULL, &guid);
    }
    free_hash_table(&wanted, NULL);
    if (missing->head) return synccmd_put(session, missing);
    dlist_free(&missing);
    return 0;
}
