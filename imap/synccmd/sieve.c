/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sieve -- scripts by command, for masters that do not send them as a mailbox (handbook 03 §6.12)
 *
 * GET FETCH_SIEVE, APPLY SIEVE, UNSIEVE, ACTIVATE_SIEVE, UNACTIVATE_SIEVE: five thin
 * doors to one store of files.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "sync_name.h"
#include "sync_sieve.h"

static bool get_script(const struct dlist *dl, const char **userid, const char **filename)
{
    return sync_getuserid(dl, "USERID", userid) &&
           dlist_getatom(dl, "FILENAME", filename) && **filename;
}

int synccmd_get_fetch_sieve(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *filename;
    struct buf content = BUF_INITIALIZER;

    if (!get_script(dl, &userid, &filename)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sync_sieve_fetch(userid, filename, &content);
    if (!r) {
        struct dlist *kl = dlist_newkvlist(NULL, "SIEVE");
        dlist_setatom(kl, "USERID", userid);
        dlist_setatom(kl, "FILENAME", filename);
        dlist_setmap(kl, "CONTENT", buf_base(&content), buf_len(&content));
        r = synccmd_put(session, kl);
    }
    buf_free(&content);
    return r;
}

int synccmd_apply_sieve(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *filename, *base;
    size_t len;
    time_t last_update;

    if (!get_script(dl, &userid, &filename) || !dlist_getdate(dl, "LAST_UPDATE", &last_update) ||
        !dlist_getmap(dl, "CONTENT", &base, &len))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sync_sieve_upload(userid, filename, last_update, base, len);
    /* the master knows this code as "nothing there", which is success for some commands */
    return r == IMAP_MAILBOX_NONEXISTENT ? IMAP_IOERROR : r;
}

int synccmd_apply_unsieve(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid, *filename;

    if (!get_script(dl, &userid, &filename)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return sync_sieve_delete(userid, filename);
}

int synccmd_apply_activate_sieve(struct synccmd_session *session, const struct dlist *dl,
                                 unsigned flags)
{
    const char *userid, *filename;

    if (!get_script(dl, &userid, &filename)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return sync_sieve_activate(userid, filename);
}

int synccmd_apply_unactivate_sieve(struct synccmd_session *session, const struct dlist *dl,
                                   unsigned flags)
{
    const char *userid;

    if (!sync_getuserid(dl, "USERID", &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return sync_sieve_deactivate(userid);
}
