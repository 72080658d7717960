/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_userstate -- the state of a user on the wire: X-USERSTATE (doc/sync-extensions.md)
 */
#include <config.h>

#include "sync_userstate.h"

#include "dlist.h"
#include "imap_err.h"
#include "sync_name.h"

struct dlist *sync_userstate_print(const struct user_record *rec)
{
    struct dlist *kl = dlist_newkvlist(NULL, "USERSTATE");

    dlist_setatom(kl, "USERID", rec->userid);
    dlist_setatom(kl, "STATE", user_state_name(rec->state));
    if (rec->reason) dlist_setatom(kl, "REASON", rec->reason);
    if (rec->created) dlist_setdate(kl, "CREATED", rec->created);
    dlist_setdate(kl, "CHANGED", rec->changed);
    return kl;
}

int sync_userstate_parse(const struct dlist *dl, struct user_record **recp)
{
    const char *userid, *state, *reason = NULL;
    enum user_state parsed;
    time_t created = 0, changed;

    *recp = NULL;
    if (!sync_getuserid(dl, "USERID", &userid) || !dlist_getatom(dl, "STATE", &state) || !user_state_parse(state, &parsed) ||
        !dlist_getdate(dl, "CHANGED", &changed) || changed < 0)
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    (void)dlist_getdate(dl, "CREATED", &created);
    if (dlist_getchild(dl, "REASON") && !dlist_getatom(dl, "REASON", &reason)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (created < 0 || (reason && !user_text_isvalid(reason, USER_MAXREASON))) return IMAP_PROTOCOL_BAD_PARAMETERS;
    *recp = user_record_new(NULL, userid, parsed);
    (*recp)->created = created;
    (*recp)->changed = changed;
    user_record_set_text(&(*recp)->reason, reason);
    return 0;
}
