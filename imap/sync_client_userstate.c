/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_userstate -- whether a user is disabled, told to a replica that keeps records of users (doc/sync-extensions.md)
 *
 * The replica is asked first, so that nothing is sent for nothing. What it keeps for itself (who is moving in there) it is not told
 * to give up.
 */
#include <config.h>

#include "sync_client.h"

#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "sync_userstate.h"
#include "util.h"

static int take_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct user_record **theirs = rock;

    (void)sc;
    if (strcmp((*dlp)->name, "USERSTATE") != 0) return IMAP_PROTOCOL_ERROR;
    user_record_free(theirs);
    return sync_userstate_parse(*dlp, theirs);
}

static bool differ(const struct user_record *ours, const struct user_record *theirs)
{
    return ours->state != theirs->state || strcmpnull(ours->reason, theirs->reason) ||
           (ours->created && ours->created != theirs->created);
}

int sync_do_userstate(struct sync_client *sc, const char *userid)
{
    struct user_record *ours = NULL, *theirs = NULL;

    if (!backend_has(sc->backend, BACKEND_CAPA_USERSTATE)) return 0;
    int r = user_record_lookup(userid, NULL, &ours);
    if (r || (ours->state != USER_ACTIVE && ours->state != USER_DISABLED)) {
        user_record_free(&ours);
        return r == IMAP_NOTFOUND ? 0 : r;
    }
    struct dlist *kl = dlist_newkvlist(NULL, "USERSTATE");
    dlist_setatom(kl, "USERID", userid);
    r = sync_client_command(sc, "GET", kl, take_line, &theirs);
    bool taken = theirs && (theirs->state == USER_ACTIVE || theirs->state == USER_DISABLED);
    if (!r && taken && differ(ours, theirs)) {
        if (ours->state != theirs->state) sync_client_say(sc, "USERSTATE %s %s", userid, user_state_name(ours->state));
        r = sync_client_command(sc, "APPLY", sync_userstate_print(ours), NULL, NULL);
    }
    user_record_free(&ours);
    user_record_free(&theirs);
    return r;
}
