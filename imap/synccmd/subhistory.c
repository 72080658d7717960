/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * subhistory -- GET and APPLY SUBHISTORY: who said last what is subscribed (doc/sync-extensions.md)
 *
 * Announced as X-SUBHISTORY. GET tells the digest of this end, then the entries of the classes in which it differs from the one
 * that was sent. APPLY takes entries, and keeps those that hold.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "sub_history.h"
#include "sync_name.h"
#include "sync_subs.h"

static int put_entries(struct synccmd_session *session, const char *userid, const struct sub_list *list,
                       unsigned classes)
{
    struct sub_list some = SUB_LIST_INITIALIZER;
    size_t next = 0;
    int r = 0;

    for (size_t i = 0; i < list->n; i++)
        if (classes & (1u << sub_class(list->v[i].name))) sub_list_set(&some, &list->v[i]);
    while (!r && next < some.n) r = synccmd_put(session, sync_subs_print(userid, &some, &next));
    sub_list_fini(&some);
    return r;
}

int synccmd_get_subhistory(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    const char *userid, *theirs;
    unsigned classes = 0;
    struct buf ours = BUF_INITIALIZER;

    if (!sync_getuserid(dl, "USERID", &userid) || !dlist_getatom(dl, "DIGEST", &theirs) ||
        !sub_digest_differ(theirs, theirs, &classes))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sub_history_read(userid, &list);
    if (!r) {
        sub_list_digest(&list, &ours);
        (void)sub_digest_differ(buf_cstring(&ours), theirs, &classes);
        r = synccmd_put(session, sync_subs_digest(userid, &list));
    }
    if (!r) r = put_entries(session, userid, &list, classes);
    sub_list_fini(&list);
    buf_free(&ours);
    return r;
}

int synccmd_apply_subhistory(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct sub_list list = SUB_LIST_INITIALIZER;
    const char *userid;
    int r = sync_getuserid(dl, "USERID", &userid) ? sync_subs_parse(dl, &list) : IMAP_PROTOCOL_BAD_PARAMETERS;

    if (!r && list.n) r = sub_history_apply(userid, &list, NULL);
    sub_list_fini(&list);
    return r;
}
