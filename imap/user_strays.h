/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_STRAYS_H
#define INCLUDED_USER_STRAYS_H
/*
 * user_strays -- files of a user that stand where nobody looks for them (handbook 01 §5.3, 07 W011)
 *
 * A user whose files belong on the path of his INBOX's uniqueid may have others on the legacy path: an older server put them
 * there, or he had no INBOX when he read other people's mail. What he has seen and subscribed to there joins
 * what is in use; nothing is unsubscribed, or unseen, by that. Files of other kinds are not read. All go to
 * <configdirectory>/lost+found, in one transaction. Conversations and counters are conversations_merge's affair.
 */
#include <stdbool.h>
#include <stddef.h>

#include "mbentry.h"
#include "strarray.h"
#include "user.h"

/* Paths, added to *paths; a directory of Sieve scripts is one with a slash at its end. */
int user_strays_find(struct user_meta *meta, strarray_t *paths);

struct user_strays_done {
    size_t seen, subs; /* mailboxes of which more is seen, or that are subscribed now */
    bool damaged;      /* not all could be read (logged); the file is kept */
    strarray_t kept;   /* where the files are now */
};
void user_strays_done_fini(struct user_strays_done *done);
/* A transaction of its own; dryrun: without its commit. *done is filled in any case. */
int user_strays_mend(const char *userid, bool dryrun, struct user_strays_done *done);

/*
 * For the INBOX of somebody who is about to use his mailboxes: conversations_mend_split, and the above. Some stats if there
 * is nothing to do. What was done, or why it could not be, is logged.
 */
void user_mend_files(const mbentry_t *inbox);

#endif
