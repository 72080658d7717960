/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * role -- GET and APPLY ROLE, GET USERS, GET SHARED: fail-over between two servers (doc/failover.md, doc/sync-extensions.md)
 *
 * Announced as X-ROLE.
 */
#include <config.h>

#include "synccmd.h"

#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "server_role.h"

static struct dlist *print(const struct server_role_mark *mark)
{
    struct dlist *kl = dlist_newkvlist(NULL, "ROLE");

    dlist_setatom(kl, "ROLE", server_role_name(mark->role));
    dlist_setnum64(kl, "SINCE", (uint64_t)mark->since);
    if (*mark->peer) dlist_setatom(kl, "PEER", mark->peer);
    return kl;
}

int synccmd_get_role(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct server_role_mark mark;

    (void)dl;
    (void)flags;
    server_role_read(&mark);
    return synccmd_put(session, print(&mark));
}

/* The other end has taken over, and is the primary since SINCE. Whoever became the primary later does not step back. */
int synccmd_apply_role(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct server_role_mark mark, said = { .role = SERVER_ROLE_REPLICA };
    const char *word, *peer;
    uint64_t since;
    enum server_role role;

    (void)session;
    (void)flags;
    if (!dlist_getatom(dl, "ROLE", &word) || !server_role_parse(word, &role) || role != SERVER_ROLE_REPLICA ||
        !dlist_getnum64(dl, "SINCE", &since))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (dlist_getatom(dl, "PEER", &peer)) {
        size_t len = strlen(peer);
        if (len >= sizeof(said.peer) || strpbrk(peer, " \n")) return IMAP_PROTOCOL_BAD_PARAMETERS;
        memcpy(said.peer, peer, len + 1);
    }
    server_role_read(&mark);
    if (mark.role == SERVER_ROLE_PRIMARY && mark.since > (time_t)since) return IMAP_REMOTE_DENIED;
    said.since = (time_t)since;
    return server_role_write(&said);
}

static int put_user(const char *userid, void *rock)
{
    return synccmd_put(rock, dlist_newatom(NULL, "USER", userid));
}

int synccmd_get_users(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    (void)dl;
    (void)flags;
    return mboxlist_alluser(put_user, session);
}

static int put_shared(const mbentry_t *mbentry, void *rock)
{
    return synccmd_put(rock, dlist_newatom(NULL, "SHARED", mbentry->name));
}

int synccmd_get_shared(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    (void)dl;
    (void)flags;
    return mboxlist_allshared(put_shared, session);
}
