/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DELETE (RFC 3501 §6.3.4; handbook 04 §3.7)
 *
 * An administrator who deletes an INBOX deletes the user, in one transaction.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "txn.h"
#include "user.h"

static int delete_in_txn(struct imap_session *s, const char *intname)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r)
        r = mboxlist_deletemailbox(txn, intname, s->isadmin, s->userid, s->auth,
                                   MBOXLIST_DELETE_CHECKACL);
    if (!r && s->userid && config_getswitch(IMAPOPT_DELETE_UNSUBSCRIBE))
        r = sub_change(txn, s->userid, intname, false);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

void cmd_delete(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (imap_arg_mailbox(s, &name) && imap_arg_end(s)) {
        int r = imap_lookup(s, name, ACL_LOOKUP, &intname, &mbentry);
        /* Without l but with x it may be deleted, too. */
        if (r == IMAP_MAILBOX_NONEXISTENT) {
            r = imap_lookup(s, name, ACL_DELETEMBOX, &intname, &mbentry);
            if (r == IMAP_PERMISSION_DENIED) r = IMAP_MAILBOX_NONEXISTENT;
        }
        if (!r) r = delete_in_txn(s, intname);
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
}
