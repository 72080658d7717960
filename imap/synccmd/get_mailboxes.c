/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_mailboxes -- GET MAILBOXES, GET UNIQUEIDS: the state of named mailboxes (handbook 03 §4; X-FOLDERS: doc/sync-extensions.md)
 *
 * What does not exist or cannot be read gives no line; the answer is always OK.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "sync_folderlist.h"
#include "sync_name.h"
#include "xsyslog.h"

static void put_one(struct synccmd_session *session, const char *arg, int found,
                    const mbentry_t *mbentry)
{
    if (found == IMAP_MAILBOX_NONEXISTENT) return;
    int r = found ? found : synccmd_put_mailbox(session, mbentry, false, NULL, NULL);
    if (r) syslog(LOG_ERR, "SYNCERROR: no state of %s: %s", arg, error_message(r));
}

/* X-FOLDERS: an item that is a question about a user. */
static int put_folders(struct synccmd_session *session, const struct dlist *item)
{
    char hex[SYNC_FOLDERLIST_HEX];
    const struct dlist *who = dlist_getchild(item, "FOLDERS");
    const char *userid;

    if (!who || !sync_touserid(who, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sync_folderlist_digest(userid, session->sieve_mailbox, hex);
    if (!r) r = txn_wait(mboxlist_seen_lsn());
    if (r) {
        syslog(LOG_ERR, "SYNCERROR: no digest of the folders of %s: %s", userid, error_message(r));
        return 0;
    }
    struct dlist *kl = dlist_newkvlist(NULL, "FOLDERS");
    dlist_setatom(kl, "USERID", userid);
    dlist_setatom(kl, "DIGEST", hex);
    return synccmd_put(session, kl);
}

int synccmd_get_mailboxes(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    for (const struct dlist *item = dl->head; item; item = item->next) {
        const char *name;
        mbentry_t *mbentry = NULL;
        if (item->type == DL_KVLIST && put_folders(session, item)) return IMAP_PROTOCOL_BAD_PARAMETERS;
        if (!sync_toname(item, &name)) continue;
        int r = mboxlist_lookup_allow_all(name, &mbentry, NULL);
        put_one(session, name, r, mbentry);
        mbentry_free(&mbentry);
    }
    return 0;
}

int synccmd_get_uniqueids(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    for (const struct dlist *item = dl->head; item; item = item->next) {
        const char *id;
        mbentry_t *mbentry = NULL;
        if (!dlist_toatom(item, &id)) continue;
        int r = mboxlist_lookup_by_uniqueid(id, &mbentry, false, NULL);
        put_one(session, id, r, mbentry);
        mbentry_free(&mbentry);
    }
    return 0;
}
