/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7; handbook 04 §3.5)
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "txn.h"
#include "user.h"

/* "name", or the old "mailbox name". */
static bool parse_subscription(struct imap_session *s, struct buf *name)
{
    struct buf second = BUF_INITIALIZER;
    bool ok = imap_arg_astring(s, name);

    if (ok && s->c == ' ') {
        ok = imap_arg_astring(s, &second);
        if (ok && cyr_strcasecmp(buf_cstring(name), "mailbox") &&
            cyr_strcasecmp(buf_cstring(name), "bboard")) {
            imap_bad(s, "Invalid %s subcommand", buf_cstring(&s->cmdname));
            ok = false;
        }
        if (ok) buf_move(name, &second);
    }
    buf_free(&second);
    return ok && imap_arg_end(s);
}

static int change_subscription(struct imap_session *s, const char *intname, bool subscribe)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, s->userid);
    if (!r) r = sub_change(txn, s->userid, intname, subscribe);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static void subscription(struct imap_session *s, bool subscribe)
{
    struct buf name = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (parse_subscription(s, &name)) {
        intname = imap_intname(s, buf_cstring(&name));
        int r = intname ? 0 : IMAP_MAILBOX_NONEXISTENT;
        if (!r && subscribe && !config_getswitch(IMAPOPT_ALLOWALLSUBSCRIBE))
            r = imap_lookup(s, buf_cstring(&name), ACL_LOOKUP, NULL, &mbentry);
        if (!r) r = change_subscription(s, intname, subscribe);
        if (!subscribe && !intname) r = 0;
        if (r)
            imap_no(s, "%s: %s", buf_cstring(&s->cmdname), error_message(r));
        else
            imap_ok(s, "Completed");
    }
    mbentry_free(&mbentry);
    free(intname);
    buf_free(&name);
}

void cmd_subscribe(struct imap_session *s)
{
    subscription(s, true);
}

void cmd_unsubscribe(struct imap_session *s)
{
    subscription(s, false);
}
