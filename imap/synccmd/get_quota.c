/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_quota -- GET QUOTA and the QUOTA line: limits of a root (handbook 03 §4.2)
 *
 * LIMIT is the storage limit cut to 32 bits; a limit that does not fit is told as
 * unlimited there, and exactly under its own name.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "quota.h"
#include "sync_name.h"
#include "sync_quota.h"

int synccmd_put_quota(struct synccmd_session *session, const char *root)
{
    struct quota q;

    int r = quota_read(root, NULL, &q);
    if (!r) r = synccmd_put(session, sync_quota_print(&q, "QUOTA"));
    quota_free(&q);
    return r == IMAP_QUOTAROOT_NONEXISTENT ? 0 : r;
}

int synccmd_get_quota(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *root;

    if (!sync_toroot(dl, &root)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return synccmd_put_quota(session, root);
}
