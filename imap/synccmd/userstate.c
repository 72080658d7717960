/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * userstate -- GET and APPLY USERSTATE: is a user disabled (doc/sync-extensions.md)?
 *
 * Announced as X-USERSTATE. Who is moving in here stays so until somebody here says that he has arrived.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "sync_name.h"
#include "sync_userstate.h"
#include "user_ops.h"

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
