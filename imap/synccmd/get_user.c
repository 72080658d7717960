/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_user -- GET USER: every mailbox of a user, the quota roots, the metadata (handbook 03 §4)
 *
 * First the tree of the INBOX, then the deleted mailboxes. An unknown user has no lines,
 * and nothing is made for him.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "ptrarray.h"
#include "sync_name.h"

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(mbentry));
    return 0;
}

static void free_entry(void *p)
{
    mbentry_t *mbentry = p;

    mbentry_free(&mbentry);
}

int synccmd_get_user(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    strarray_t roots = STRARRAY_INITIALIZER;
    const char *userid;
    bool real = false;

    if (!sync_touserid(dl, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = mboxlist_usermboxtree(userid, collect_cb, &entries,
                                  MBOXTREE_INTERMEDIATES | MBOXTREE_DELETED);
    for (int i = 0; i < ptrarray_size(&entries) && !r; i++)
        r = synccmd_put_mailbox(session, ptrarray_nth(&entries, i), false, &roots, &real);
    for (int i = 0; i < strarray_size(&roots) && !r; i++)
        r = synccmd_put_quota(session, strarray_nth(&roots, i));
    if (!r && real) r = synccmd_put_meta(session, userid);
    ptrarray_fini_with(&entries, free_entry);
    strarray_fini(&roots);
    return r;
}
