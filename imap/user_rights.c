/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_rights -- rights that others have given to a user follow his new name (handbook 07 W046)
 *
 * They stand in the ACLs of mailboxes all over the store, so they are looked for in all entries, without a lock. What is found is looked at again and
 * rewritten owner by owner, each in a transaction of its own: nobody waits for the whole, and after a crash the same is said again and does what is left.
 */
#include <config.h>

#include "user_rights.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "strarray.h"
#include "txn.h"
#include "xmalloc.h"

#define TRIES 5

/* ---- looking for them ---- */

static bool names(const char *acl, const char *userid)
{
    char *negative = xasprintf("-%s", userid);
    bool found = cyrus_acl_rights_of(acl, userid) || cyrus_acl_rights_of(acl, negative);

    free(negative);
    return found;
}

struct search {
    const char *userid;
    strarray_t *found;
};

static int search_cb(const mbentry_t *entry, void *rock)
{
    const struct search *s = rock;

    if (!mbentry_is_remote(entry, config_servername) && names(entry->acl, s->userid))
        strarray_append(s->found, entry->name);
    return 0;
}

/* ---- one owner ---- */

/* The next name of another owner. */
static int end_of_owner(const strarray_t *found, int from)
{
    int i = from + 1;

    while (i < strarray_size(found) && mboxname_same_userid(strarray_nth(found, from), strarray_nth(found, i))) i++;
    return i;
}

static int rewrite(const strarray_t *found, int from, int to, const char *olduser, const char *newuser, bool dry)
{
    struct txn *txn = NULL;
    int r = txn_begin(&txn);

    for (int i = from; i < to && !r; i++) {
        r = mboxlist_renameacl(txn, strarray_nth(found, i), olduser, newuser);
        if (r == IMAP_MAILBOX_NONEXISTENT) r = 0; /* has gone meanwhile */
    }
    if (!r && !dry) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

int user_rights_rename(const char *olduser, const char *newuser, bool dry, user_rights_cb *cb, void *rock)
{
    strarray_t found = STRARRAY_INITIALIZER;
    struct search search = { olduser, &found };
    int r = mboxlist_allmbox("", search_cb, &search, MBOXTREE_DELETED);

    for (int i = 0, end; i < strarray_size(&found) && !r; i = end) {
        end = end_of_owner(&found, i);
        r = IMAP_AGAIN;
        for (int n = 0; n < TRIES && r == IMAP_AGAIN; n++) r = rewrite(&found, i, end, olduser, newuser, dry);
        for (int n = i; n < end && !r; n++) cb(strarray_nth(&found, n), rock);
    }
    strarray_fini(&found);
    return r;
}
