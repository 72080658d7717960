/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_FIX_H
#define INCLUDED_QUOTA_FIX_H
/*
 * quota_fix -- usage of quota roots counted anew (handbook 01 §6.8)
 */
#include <stdbool.h>

#include "quota.h"
#include "strarray.h"

/* What was wrong. Names are internal names. */
struct quota_fix_events {
    /* A mailbox said it counts for another root; NULL: none. */
    void (*root)(const char *mailbox, const char *was, const char *is, void *rock);
    void (*used)(const char *root, enum quota_resource res, int64_t was, int64_t is, void *rock);
    void (*removed)(const char *root, void *rock);              /* no mailbox counts for it */
    void (*unreadable)(const char *mailbox, int r, void *rock); /* its roots are left as they are */
    void *rock;
};

/*
 * Counts the mailboxes of every owner who has a root, or a name, that begins with prefix ("": everybody),
 * and puts right what is wrong. One transaction an owner: nobody sees half of it, and changes
 * that happen meanwhile wait. A domain with a root of its own is one owner. dryrun: only tells.
 * On an error the owners before it are done.
 */
int quota_fix(const char *prefix, bool dryrun, const struct quota_fix_events *events);
/* The same of the one owner to whom this user's mailboxes belong. IMAP_MAILBOX_BADNAME. */
int quota_fix_user(const char *userid, bool dryrun, const struct quota_fix_events *events);

#endif
