/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_meta -- GET META: seen records, subscriptions, scripts of a user (handbook 03 §4)
 *
 * Scripts are listed only for a master that does not send them as a mailbox.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "ptrarray.h"
#include "sync_name.h"
#include "sync_sieve.h"
#include "user.h"

static int seen_cb(const char *uniqueid, const struct seendata *sd, void *rock)
{
    struct dlist *kl = dlist_newkvlist(NULL, "SEEN");

    dlist_setatom(kl, "UNIQUEID", uniqueid);
    dlist_setdate(kl, "LASTREAD", sd->lastread);
    dlist_setnum32(kl, "LASTUID", sd->lastuid);
    dlist_setdate(kl, "LASTCHANGE", sd->lastchange);
    dlist_setatom(kl, "SEENUIDS", sd->seenuids);
    ptrarray_append(rock, kl);
    return 0;
}

/* Lines wait until the iteration is over: nothing is sent under its lock. */
static int put_seen(struct synccmd_session *session, const char *userid)
{
    ptrarray_t lines = PTRARRAY_INITIALIZER;
    int r = seen_foreach(userid, seen_cb, &lines);

    return synccmd_put_all(session, &lines, r);
}

static int put_subscriptions(struct synccmd_session *session, const char *userid)
{
    strarray_t names = STRARRAY_INITIALIZER;
    int r = sub_list(userid, &names);

    if (!r && strarray_size(&names)) {
        struct dlist *list = dlist_newlist(NULL, "LSUB");
        for (int i = 0; i < strarray_size(&names); i++)
            dlist_setatom(list, NULL, strarray_nth(&names, i));
        r = synccmd_put(session, list);
    }
    strarray_fini(&names);
    return r;
}

static int put_scripts(struct synccmd_session *session, const char *userid)
{
    struct sync_sieve_list scripts = SYNC_SIEVE_LIST_INITIALIZER;
    int r = sync_sieve_read(userid, &scripts);

    for (size_t i = 0; i < scripts.n && !r; i++) {
        const struct sync_sieve *s = &scripts.v[i];
        struct dlist *kl = dlist_newkvlist(NULL, "SIEVE");
        dlist_setatom(kl, "FILENAME", s->filename);
        dlist_setdate(kl, "LAST_UPDATE", s->last_update);
        dlist_setguid(kl, "GUID", &s->guid);
        dlist_setnum32(kl, "ISACTIVE", s->active);
        r = synccmd_put(session, kl);
    }
    sync_sieve_list_fini(&scripts);
    return r;
}

int synccmd_put_meta(struct synccmd_session *session, const char *userid)
{
    int r = put_seen(session, userid);

    if (!r || r == IMAP_MAILBOX_NONEXISTENT) r = put_subscriptions(session, userid);
    if ((!r || r == IMAP_MAILBOX_NONEXISTENT) && (!session->sieve_mailbox || session->sieve_files))
        r = put_scripts(session, userid);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

int synccmd_get_meta(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid;

    if (!sync_touserid(dl, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return synccmd_put_meta(session, userid);
}
