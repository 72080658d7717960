/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quota_usage -- both kinds of usage of a quota root at one moment
 *
 * With quota_use_conversations what is shown counts each message once, the database
 * counts every copy. Between two reads a delivery could come; under the shared lock
 * of the owner none can.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mboxname.h"
#include "namelock.h"
#include "quota_usage.h"

int quota_read_usage(const char *root, struct quota *shown, struct quota *raw)
{
    char *owner = mboxname_to_userid(root);
    struct namelock *lock = NULL;
    uint64_t lsn = 0;

    int r = namelock_user(owner, NAMELOCK_SHARED, 0, &lock);
    if (r) {
        quota_init(shown, root);
        if (raw) quota_init(raw, root);
    } else {
        lsn = namelock_seen_lsn(lock);
        r = quota_read_withconversations(root, QUOTA_REPORT, NULL, shown);
        int rawr = raw ? quota_read(root, NULL, raw) : 0;
        if (!r) r = rawr;
        namelock_release(&lock);
    }
    free(owner);
    return r ? r : txn_wait(lsn);
}
