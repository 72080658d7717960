/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * userstate -- GET and APPLY USERSTATE: is a user disabled? APPLY LEAVE, STAY: is he kept still here (doc/sync-extensions.md)?
 *
 * Announced as X-USERSTATE and X-LEAVE. Who is moving in here stays so until somebody here says that he has arrived.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "sync_name.h"
#include "sync_userstate.h"
#include "user_ops.h"
#include "util.h"

int synccmd_get_userstate(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct user_record *rec = NULL;
    const char *userid;

    if (!sync_getuserid(dl, "USERID", &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = user_record_lookup(userid, NULL, &rec);
    if (!r) r = synccmd_put(session, sync_userstate_print(rec));
    user_record_free(&rec);
    return r == IMAP_NOTFOUND ? 0 : r; /* no line: nobody */
}

int synccmd_apply_userstate(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct user_record *said = NULL;
    struct txn *txn = NULL;
    int r = sync_userstate_parse(dl, &said);

    if (!r && said->state != USER_ACTIVE && said->state != USER_DISABLED) r = IMAP_PROTOCOL_BAD_PARAMETERS;
    if (!r) r = synccmd_begin_user(said->userid, &txn);
    if (!r) r = synccmd_end(&txn, user_take_state(txn, said));
    user_record_free(&said);
    return r == IMAP_NOTFOUND ? IMAP_INVALID_USER : r;
}

/* Who leaves for another server than the one that is named is kept still for somebody else: IMAP_MAILBOX_NOTSUPPORTED. */
static int check_leaving(struct txn *txn, const char *userid, const char *server)
{
    struct user_record *rec = NULL;
    int r = user_record_lookup(userid, txn, &rec);

    if (!r && rec->state == USER_MOVING_OUT && strcmpnull(rec->server, server) != 0) r = IMAP_MAILBOX_NOTSUPPORTED;
    user_record_free(&rec);
    return r;
}

static int nobody(int r)
{
    return r == IMAP_NOTFOUND || r == IMAP_MAILBOX_NONEXISTENT ? IMAP_INVALID_USER : r;
}

int synccmd_apply_leave(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *server;
    struct txn *txn = NULL;

    if (!sync_getuserid(dl, "USERID", &userid) || !dlist_getatom(dl, "SERVER", &server) ||
        !user_text_isvalid(server, USER_MAXREASON))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_user(userid, &txn);
    if (r) return r;
    r = check_leaving(txn, userid, server);
    if (!r) r = user_leave(txn, userid, server);
    return nobody(synccmd_end(&txn, r));
}

int synccmd_apply_stay(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *server, *text;
    enum user_state state;
    struct txn *txn = NULL;

    if (!sync_getuserid(dl, "USERID", &userid) || !dlist_getatom(dl, "SERVER", &server) || !dlist_getatom(dl, "STATE", &text) ||
        !user_state_parse(text, &state) || (state != USER_ACTIVE && state != USER_DISABLED))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = synccmd_begin_user(userid, &txn);
    if (r) return r;
    r = check_leaving(txn, userid, server);
    if (!r) r = user_stay(txn, userid, state);
    return nobody(synccmd_end(&txn, r));
}
