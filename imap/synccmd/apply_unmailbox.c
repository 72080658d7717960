/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_unmailbox -- APPLY UNMAILBOX and UNUSER: remove for good (handbook 03 §6.6)
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "ptrarray.h"
#include "quota.h"

int synccmd_apply_unmailbox(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;
    struct txn *txn = NULL;
    mbentry_t *entry = NULL;
    const char *name;

    if (!dlist_toatom(dl, &name)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (flags & SYNCCMD_LOCAL) how |= MBOXLIST_DELETE_LOCALONLY;
    int r = synccmd_begin_mailbox(name, &txn);
    if (r) return r;
    quota_set_silent(txn);
    r = mboxlist_lookup_allow_all(name, &entry, txn);
    if (!r && (entry->mbtype & MBTYPE_INTERMEDIATE))
        r = mboxlist_delete_entry(txn, name);
    else if (!r && !(entry->mbtype & MBTYPE_DELETED))
        r = mboxlist_deletemailbox(txn, name, true, NULL, NULL, how);
    mbentry_free(&entry);
    return synccmd_end(&txn, r);
}

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(mbentry));
    return 0;
}

/* The tree of the INBOX, last first, so that the INBOX with the user's place goes at the end. The
 * deleted mailboxes stay for cyr_expire. */
static int remove_mailboxes(struct txn *txn, const char *userid, unsigned how)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = mboxlist_usermboxtree(userid, collect_cb, &entries, MBOXTREE_INTERMEDIATES);

    for (int i = ptrarray_size(&entries) - 1; i >= 0; i--) {
        mbentry_t *entry = ptrarray_nth(&entries, i);
        if (!r && (entry->mbtype & MBTYPE_INTERMEDIATE))
            r = mboxlist_delete_entry(txn, entry->name);
        else if (!r)
            r = mboxlist_deletemailbox(txn, entry->name, true, NULL, NULL, how);
        mbentry_free(&entry);
    }
    ptrarray_fini(&entries);
    return r;
}

static int remove_user(struct txn *txn, const char *userid, unsigned how)
{
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = mboxlist_lookup(name, &inbox, txn);
    bool existed = !r;

    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    /* the files are found through the INBOX, so they are marked while it is there */
    if (!r && existed) r = user_deletedata(txn, userid, true);
    if (!r) r = remove_mailboxes(txn, userid, how);
    mbentry_free(&inbox);
    free(name);
    return r;
}

int synccmd_apply_unuser(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;
    struct txn *txn = NULL;
    const char *userid;

    if (!dlist_toatom(dl, &userid) || !*userid) return 0; /* as 3.6.1: nobody is deleted */
    if (flags & SYNCCMD_LOCAL) how |= MBOXLIST_DELETE_LOCALONLY;
    int r = synccmd_begin_user(userid, &txn);
    if (r) return r;
    quota_set_silent(txn);
    return synccmd_end(&txn, remove_user(txn, userid, how));
}
