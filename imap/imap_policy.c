/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_policy -- who may log in, and as whom, for services with users
 *
 * Groups come from the auth module, the ACL of a user's INBOX from mailboxes.db,
 * and refusals from user_deny.db. What can't be read refuses nothing but proxying.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "auth.h"
#include "imap_policy.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "service.h"
#include "userdeny.h"

static bool memberof(void *rock, const char *id, const char *identifiers)
{
    struct auth_state *auth = auth_newstate(id);
    bool found = auth_is_listed(auth, identifiers);

    (void)rock;
    auth_freestate(&auth);
    return found;
}

static bool allowed(void *rock, const char *userid)
{
    (void)rock;
    return !userdeny_check(userid, service_name(), NULL, 0);
}

static bool useacl(void *rock, const char *authid, const char *userid)
{
    char *inbox = mboxname_user_mbox(userid, NULL);
    struct auth_state *auth = auth_newstate(authid);
    mbentry_t *mbentry = NULL;
    bool ok = false;

    (void)rock;
    if (!mboxlist_lookup(inbox, &mbentry, NULL))
        ok = (cyrus_acl_myrights(auth, mbentry->acl) & ACL_ADMIN) != 0;
    mbentry_free(&mbentry);
    auth_freestate(&auth);
    free(inbox);
    return ok;
}

const struct saslserver_policy imap_policy = {
    .adminsonly = false,
    .allow_proxy = true,
    .memberof = memberof,
    .allowed = allowed,
    .useacl = useacl,
};
