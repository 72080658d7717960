/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_conv -- usage as it is shown and checked: each message of a user counts once
 *
 * With quota_use_conversations STORAGE and MESSAGE come from the Q record of the
 * owner's conversations database, everything else from the quota record (handbook 01
 * §6.6). quota_report and quota_enforce say otherwise for what is shown and for what is
 * checked. Roots without a user, and users without a database, have the raw sums.
 */
#include <config.h>

#include <stdlib.h>

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "quota.h"

static int read_conv_quota(const char *userid, struct txn *txn, struct quota *q)
{
    struct conversations_state *state = NULL;
    struct user_meta *meta = NULL;
    struct conv_quota cq = { 0 };

    int r = user_meta_lookup(userid, txn, &meta);
    if (r) return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
    r = conversations_open_user(txn, meta, &state);
    if (!r && state) {
        r = conversations_read_quota(state, &cq);
        if (!r) {
            q->useds[QUOTA_STORAGE] = (int64_t)cq.storage;
            q->useds[QUOTA_MESSAGE] = (int64_t)cq.emails;
        }
        if (!txn) conversations_close(&state);
    }
    user_meta_free(&meta);
    return r;
}

bool quota_uses_conversations(enum quota_use use)
{
    if (!config_getswitch(IMAPOPT_CONVERSATIONS)) return false;
    switch (use) {
    case QUOTA_REPORT:
        if (config_getenum(IMAPOPT_QUOTA_REPORT) == IMAP_ENUM_QUOTA_REPORT_DEFAULT) break;
        return config_getenum(IMAPOPT_QUOTA_REPORT) == IMAP_ENUM_QUOTA_REPORT_CONVERSATIONS;
    case QUOTA_ENFORCE:
        if (config_getenum(IMAPOPT_QUOTA_ENFORCE) == IMAP_ENUM_QUOTA_ENFORCE_DEFAULT) break;
        return config_getenum(IMAPOPT_QUOTA_ENFORCE) == IMAP_ENUM_QUOTA_ENFORCE_CONVERSATIONS;
    }
    return config_getswitch(IMAPOPT_QUOTA_USE_CONVERSATIONS);
}

int quota_read_withconversations(const char *root, enum quota_use use, struct txn *txn, struct quota *q)
{
    int r = quota_read(root, txn, q);
    if (r || !quota_uses_conversations(use)) return r;
    char *userid = mboxname_to_userid(root);
    if (userid) r = read_conv_quota(userid, txn, q);
    free(userid);
    return r;
}
