/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_home -- the home of a user on the wire: X-HOME (doc/sync-extensions.md)
 */
#include <config.h>

#include "sync_home.h"

#include <stdio.h>

#include "dlist.h"
#include "imap_err.h"
#include "makeuuid.h"
#include "sync_name.h"

struct dlist *sync_home_print(const struct sync_home *said)
{
    struct dlist *kl = dlist_newkvlist(NULL, "HOME");

    dlist_setatom(kl, "USERID", said->userid);
    if (said->id) dlist_setatom(kl, "UNIQUEID", said->id);
    if (*said->here) dlist_setatom(kl, "HERE", said->here);
    if (said->home.epoch) {
        dlist_setatom(kl, "SERVER", said->home.server);
        dlist_setnum64(kl, "EPOCH", said->home.epoch);
        dlist_setdate(kl, "SINCE", said->home.since);
    }
    return kl;
}

/* Missing is fine. */
static bool get_server(const struct dlist *dl, const char *key, char server[USER_HOME_MAXSERVER + 1])
{
    const char *text;

    *server = '\0';
    if (!dlist_getchild(dl, key)) return true;
    if (!dlist_getatom(dl, key, &text) || !user_home_server_isvalid(text)) return false;
    snprintf(server, USER_HOME_MAXSERVER + 1, "%s", text);
    return true;
}

int sync_home_parse(const struct dlist *dl, struct sync_home *said)
{
    struct user_home *home = &said->home;

    *said = (struct sync_home){ .id = NULL };
    if (!sync_getuserid(dl, "USERID", &said->userid) || !get_server(dl, "HERE", said->here) ||
        !get_server(dl, "SERVER", home->server))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (dlist_getchild(dl, "UNIQUEID") && (!dlist_getatom(dl, "UNIQUEID", &said->id) || !uniqueid_isvalid(said->id)))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (*home->server && (!dlist_getnum64(dl, "EPOCH", &home->epoch) || !home->epoch || home->epoch > INT64_MAX ||
                          !dlist_getdate(dl, "SINCE", &home->since) || home->since < 0))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    return 0;
}
