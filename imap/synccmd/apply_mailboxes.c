/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_mailboxes -- APPLY MAILBOXES: several mailboxes whose state the client knows, all or none (X-TOGETHER, doc/sync-extensions.md)
 *
 * An item is what APPLY MAILBOX has, or a digest of the names of a user's folders that must be right.
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "sync_apply.h"
#include "sync_folderlist.h"
#include "sync_name.h"

static int check_folders(const struct synccmd_session *session, const struct dlist *who, const struct dlist *item)
{
    char hex[SYNC_FOLDERLIST_HEX];
    const char *userid, *digest;

    if (!sync_touserid(who, &userid) || !dlist_getatom(item, "DIGEST", &digest)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sync_folderlist_digest(userid, session->sieve_mailbox, hex);
    if (!r) r = txn_wait(mboxlist_seen_lsn());
    return r ? r : strcmp(hex, digest) ? IMAP_SYNC_CHANGED : 0;
}

int synccmd_apply_mailboxes(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    ptrarray_t mailboxes = PTRARRAY_INITIALIZER;
    int r = session->force || dl->type != DL_LIST ? IMAP_PROTOCOL_BAD_PARAMETERS : 0;

    for (struct dlist *item = dl->head; item && !r; item = item->next) {
        const struct dlist *who = dlist_getchild(item, "FOLDERS");
        const char *type;
        if (who)
            r = check_folders(session, who, item);
        else if (dlist_getatom(item, "MBOXTYPE", &type) && *type == 'f' && !session->sieve_mailbox)
            r = IMAP_PROTOCOL_BAD_PARAMETERS;
        else
            ptrarray_append(&mailboxes, item);
    }
    if (!r) r = sync_apply_mailboxes(&mailboxes, session->reserve);
    ptrarray_fini(&mailboxes);
    return r;
}
