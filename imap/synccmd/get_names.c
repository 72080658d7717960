/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_names -- GET NAMES: the former names of a user's mailboxes (doc/sync-extensions.md)
 *
 * Announced as X-NAMEHISTORY. One line for each mailbox of the user that has had other names:
 * NAMES %(UNIQUEID id MBOXNAME name HISTORY (newest ... oldest) MODSEQ of the last change).
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "ptrarray.h"
#include "sync_name.h"

static struct dlist *names_line(const mbentry_t *mbentry)
{
    struct dlist *kl = dlist_newkvlist(NULL, "NAMES");

    dlist_setatom(kl, "UNIQUEID", mbentry->uniqueid);
    dlist_setatom(kl, "MBOXNAME", mbentry->name);
    struct dlist *history = dlist_newlist(kl, "HISTORY");
    for (size_t i = 0; i < mbentry->nhistory; i++)
        dlist_setatom(history, NULL, mbentry->history[i].name);
    dlist_setnum64(kl, "MODSEQ", mboxlist_named_at(mbentry));
    return kl;
}

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    mbentry_t *full = NULL;

    if (!mbentry->uniqueid || (mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE))) return 0;
    int r = mboxlist_lookup_by_uniqueid(mbentry->uniqueid, &full, false, NULL);
    if (!r && full->nhistory) ptrarray_append(rock, names_line(full));
    mbentry_free(&full);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

int synccmd_get_names(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    ptrarray_t lines = PTRARRAY_INITIALIZER;
    const char *userid;

    if (!sync_touserid(dl, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = mboxlist_usermboxtree(userid, collect_cb, &lines, MBOXTREE_DELETED);
    if (!r) r = txn_wait(mboxlist_seen_lsn());
    return synccmd_put_all(session, &lines, r);
}
