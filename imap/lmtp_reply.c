/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_reply -- what a result is called on the wire (handbook 04 §7.2)
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "lmtp_session.h"
#include "sessionid.h"

static const struct reply {
    int code; /* 0 ends the table: anything else */
    const char *codes;
} replies[] = {
    { IMAP_MAILBOX_BADFORMAT, "451 4.2.0" },
    { IMAP_MAILBOX_NOTSUPPORTED, "451 4.2.0" },
    { IMAP_MAILBOX_MOVED, "451 4.2.1" },
    { IMAP_USER_ELSEWHERE, "451 4.2.1" },
    { IMAP_MAILBOX_RESERVED, "451 4.2.1" },
    { IMAP_MAILBOX_DISABLED, "451 4.2.1" },
    { IMAP_USER_DISABLED, "550 5.2.1" },
    { IMAP_NOSPACE, "451 4.3.1" },
    { IMAP_SERVER_UNAVAILABLE, "451 4.4.3" },
    { IMAP_PROTOCOL_BAD_PARAMETERS, "501 5.5.4" },
    { IMAP_MESSAGE_CONTAINSNULL, "554 5.6.0" },
    { IMAP_MESSAGE_CONTAINSNL, "554 5.6.0" },
    { IMAP_MESSAGE_CONTAINS8BIT, "554 5.6.0" },
    { IMAP_MESSAGE_BADHEADER, "554 5.6.0" },
    { IMAP_MESSAGE_NOBLANKLINE, "554 5.6.0" },
    { IMAP_MESSAGE_TOO_LARGE, "552 5.2.3" },
    { 0, "451 4.3.0" },
};

static void reply_unknown(struct protstream *out)
{
    prot_puts(out, "550-Mailbox unknown.  Either there is no mailbox associated with this\r\n"
                   "550-name or you do not have authorization to see it.\r\n"
                   "550 5.1.1 User unknown\r\n");
}

static void reply_denied(struct protstream *out)
{
    const char *postmaster = config_getstring(IMAPOPT_POSTMASTER);

    prot_printf(out,
                "550-You do not have permission to post a message to this mailbox.\r\n"
                "550-Please contact the owner of this mailbox in order to submit\r\n"
                "550-your message, or <%s> if you believe you\r\n"
                "550-received this message in error.\r\n"
                "550 5.7.1 Permission denied\r\n",
                postmaster ? postmaster : "postmaster");
}

void lmtp_reply_result(struct protstream *out, int code)
{
    const struct reply *reply = replies;

    if (!code) {
        prot_printf(out, "250 2.1.5 Success SESSIONID=<%s>\r\n", session_id());
    }
    else if (code == IMAP_QUOTA_EXCEEDED) {
        bool forever = config_getswitch(IMAPOPT_LMTP_OVER_QUOTA_PERM_FAILURE);
        prot_printf(out, "%s %s SESSIONID=<%s>\r\n", forever ? "552 5.2.2" : "452 4.2.2",
                    error_message(code), session_id());
    }
    else if (code == IMAP_MAILBOX_NONEXISTENT) {
        reply_unknown(out);
    }
    else if (code == IMAP_PERMISSION_DENIED) {
        reply_denied(out);
    }
    else {
        while (reply->code && reply->code != code) reply++;
        prot_printf(out, "%s %s\r\n", reply->codes, error_message(code));
    }
}
