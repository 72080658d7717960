/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usage -- GET USAGE and APPLY RECOUNT: what a user uses, as it was counted here, and counted anew (doc/sync-extensions.md)
 *
 * Announced as X-USAGE.
 */
#include <config.h>

#include "synccmd.h"

#include "conversations.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "quota_fix.h"
#include "sync_name.h"
#include "sync_usage.h"
#include "xsyslog.h"

int synccmd_get_usage(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    ptrarray_t lines = PTRARRAY_INITIALIZER;
    const char *userid;

    if (!sync_touserid(dl, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = sync_usage_read(userid, &lines);
    return synccmd_put_all(session, &lines, r);
}

static void log_root(const char *mailbox, const char *was, const char *is, void *rock)
{
    syslog(LOG_NOTICE, "recount for %s: %s: quota root %s --> %s", (const char *)rock, mailbox, was ? was : "(none)",
           is ? is : "(none)");
}

static void log_used(const char *root, enum quota_resource res, int64_t was, int64_t is, void *rock)
{
    syslog(LOG_NOTICE, "recount for %s: %s: %s usage was %lld, now %lld", (const char *)rock, root, quota_names[res],
           (long long)was, (long long)is);
}

static void log_removed(const char *root, void *rock)
{
    syslog(LOG_NOTICE, "recount for %s: %s: removed", (const char *)rock, root);
}

static void log_unreadable(const char *mailbox, int r, void *rock)
{
    syslog(LOG_ERR, "recount for %s: %s: %s", (const char *)rock, mailbox, error_message(r));
}

int synccmd_apply_recount(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *userid;

    if (!sync_touserid(dl, &userid)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    const struct quota_fix_events events = { log_root, log_used, log_removed, log_unreadable, (void *)(uintptr_t)userid };
    int r = quota_fix_user(userid, false, &events);
    if (!r && config_getswitch(IMAPOPT_CONVERSATIONS)) r = conversations_rebuild_now(userid, NULL, NULL);
    return r == IMAP_MAILBOX_NONEXISTENT ? IMAP_INVALID_USER : r;
}
