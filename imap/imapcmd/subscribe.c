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

static bool is_subcommand(extname_t word)
{
    return !cyr_strcasecmp(extname_text(word), "mailbox") || !cyr_strcasecmp(extname_text(word), "bboard");
}

/* "name", or the old "mailbox name". */
static bool parse_subscription(struct imap_session *s, extname_t *name)
{
    if (!imap_arg_mailbox(s, name)) return false;
    if (s->c == ' ') {
        bool known = is_subcommand(*name);
        if (!imap_arg_mailbox(s, name)) return false;
        if (!known) {
            imap_bad(s, "Invalid %s subcommand", buf_cstring(&s->cmdname));
            return false;
        }
    }
    return imap_arg_end(s);
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
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (parse_subscription(s, &name)) {
        intname = imap_intname(s, name);
        int r = intname ? 0 : IMAP_MAILBOX_NONEXISTENT;
        if (!r && subscribe && !config_getswitch(IMAPOPT_ALLOWALLSUBSCRIBE))
            r = imap_lookup(s, name, ACL_LOOKUP, NULL, &mbentry);
        if (!r) r = change_subscription(s, intname, subscribe);
        if (!subscribe && !intname) r = 0;
        if (r)
            imap_no(s, "%s: %s", buf_cstring(&s->cmdname), error_message(r));
        else
            imap_ok(s, "Completed");
    }
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
}

void cmd_subscribe(struct imap_session *s)
{
    subscription(s, true);
}

void cmd_unsubscribe(struct imap_session *s)
{
    subscription(s, false);
}
