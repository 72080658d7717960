/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_mailbox -- APPLY MAILBOX, APPLY LOCAL_MAILBOX (handbook 03 §6.3)
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "sync_apply.h"

int synccmd_apply_mailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *type;
    unsigned apply = 0;

    if (dlist_getatom(dl, "MBOXTYPE", &type) && *type == 'f' && !session->sieve_mailbox)
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (session->force) apply |= SYNC_APPLY_FORCE;
    if (flags & SYNCCMD_LOCAL) apply |= SYNC_APPLY_LOCALONLY;
    return sync_apply_mailbox(dl, session->reserve, apply);
}
