/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_ops -- rights, ancestors and trees, as the operations on mailboxes need them
 *
 * Handbook 04 §5, 02 §7. All look-ups see the changes of the transaction.
 */
#include <config.h>

#include "mboxlist_ops.h"

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "libconfig.h"
#include "xmalloc.h"

bool mboxlist_owner_isadmin(const char *userid, const char *name)
{
    const char *implicit = config_getstring(IMAPOPT_IMPLICIT_OWNER_RIGHTS);

    return userid && mboxname_userownsmailbox(userid, name) &&
           (cyrus_acl_strtomask_lax(implicit, strlen(implicit)) & ACL_ADMIN);
}

uint32_t mboxlist_rights(const mbentry_t *entry, bool isadmin, const struct auth_state *auth)
{
    uint32_t rights = cyrus_acl_myrights(auth, entry->acl);

    return isadmin ? rights | ACL_LOOKUP | ACL_ADMIN : rights;
}

int mboxlist_denied(const mbentry_t *entry, bool isadmin, const struct auth_state *auth)
{
    return mboxlist_rights(entry, isadmin, auth) & ACL_LOOKUP ? IMAP_PERMISSION_DENIED
                                                              : IMAP_MAILBOX_NONEXISTENT;
}

int mboxlist_nearest_parent(const char *name, struct txn *txn, mbentry_t **parentp)
{
    char *parent = mboxname_parent(name);
    int r = 0;

    *parentp = NULL;
    while (parent && !*parentp) {
        r = mboxlist_lookup(parent, parentp, txn);
        if (r && r != IMAP_MAILBOX_NONEXISTENT) break;
        r = 0;
        char *next = *parentp ? NULL : mboxname_parent(parent);
        free(parent);
        parent = next;
    }
    free(parent);
    return r;
}

int mboxlist_lock_names(struct txn *txn, const char *a, const char *b)
{
    strarray_t users = STRARRAY_INITIALIZER;

    strarray_appendm(&users, mboxname_to_userid(a));
    if (b) strarray_appendm(&users, mboxname_to_userid(b));
    int r = txn_lock_users(txn, &users);
    strarray_fini(&users);
    return r;
}

/* ---- trees ---- */

static int collect_cb(const mbentry_t *entry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(entry));
    return 0;
}

int mboxlist_collect_tree(const char *name, unsigned flags, ptrarray_t *entries)
{
    return mboxlist_mboxtree(name, collect_cb, entries, flags);
}

static void free_entry(void *p)
{
    mbentry_t *entry = p;
    mbentry_free(&entry);
}

void mboxlist_collect_free(ptrarray_t *entries)
{
    ptrarray_fini_with(entries, free_entry);
}

static int one_cb(const mbentry_t *entry, void *rock)
{
    *(bool *)rock = true;
    return IMAP_OK_COMPLETED; /* stops */
}

int mboxlist_has_children(const char *name, bool *yes)
{
    *yes = false;
    int r = mboxlist_mboxtree(name, one_cb, yes, MBOXTREE_SKIP_ROOT);
    return *yes ? 0 : r;
}
