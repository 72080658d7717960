/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_fullmailbox -- GET FULLMAILBOX: state and all records of one mailbox (handbook 03 §4)
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "sync_name.h"

int synccmd_get_fullmailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *name;
    mbentry_t *mbentry = NULL;
    bool real = false;

    if (!sync_toname(dl, &name)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = mboxlist_lookup(name, &mbentry, NULL);
    if (!r) r = synccmd_put_mailbox(session, mbentry, true, NULL, &real);
    mbentry_free(&mbentry);
    if (!r && !real) r = IMAP_MAILBOX_NONEXISTENT;
    return r;
}
