/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_session -- MESSAGE, CAPABILITIES, FORCE: commands about this connection (handbook 03 §6)
 *
 * The files of MESSAGE are in the reserve area when the line has been read; what is no
 * file is ignored.
 */
#include <config.h>

#include "synccmd.h"

#include <strings.h>

#include "global.h"
#include "imap_err.h"
#include "xsyslog.h"

int synccmd_apply_message(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    return 0;
}

int synccmd_apply_capabilities(struct synccmd_session *session, const struct dlist *dl,
                               unsigned flags)
{
    struct dlist *enabled = dlist_newlist(NULL, "ENABLED");

    for (const struct dlist *item = dl->head; item; item = item->next) {
        const char *word;
        if (!dlist_toatom(item, &word)) continue;
        if (!strcasecmp(word, "SIEVE-MAILBOX"))
            session->sieve_mailbox = true;
        else if (!strcasecmp(word, "X-SIEVEFILES") && !capa_is_disabled("X-SIEVEFILES"))
            session->sieve_files = true;
        else if (!strcasecmp(word, "X-LEASE") && !capa_is_disabled("X-LEASE"))
            session->knows_leases = true;
        else
            continue;
        dlist_setatom(enabled, NULL, word);
    }
    return synccmd_put(session, enabled);
}

int synccmd_apply_force(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    if (!session->force)
        syslog(LOG_NOTICE, "SYNCNOTICE: the client forces its state on this replica");
    session->force = true;
    return 0;
}
