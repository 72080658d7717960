/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store -- what a store holds, as text, and whether it makes sense
 *
 * Both read the store of the configuration in place, through the stores of floors 3 and 4 and the
 * files themselves. They change nothing.
 */
#ifndef CYL_CRASH_STORE_H
#define CYL_CRASH_STORE_H

#include "buf.h"
#include "strarray.h"

/*
 * Appends all that a client, a tool or a replica could see: every record of every database,
 * every header field, index record, cache record and message of every mailbox. Two stores with
 * the same text are the same. Lines begin with what they are about, "message NAME UID SHA1 ..." for messages.
 */
void store_state(struct buf *out);

/* Appends a line for everything that can't be in a sound store at rest. */
void store_check(struct buf *problems);
/* The same of one user's subscriptions and their history. */
struct user_meta;
void store_check_subs(const char *userid, struct user_meta *meta, struct buf *problems);
/* The same of mailboxes.db by itself, and of the files of users. */
void store_check_names(struct buf *problems);
/* The same of users.db against mailboxes.db. */
void store_check_users(struct buf *problems);
/* Appends a line: IMAGE and USER=SERVER/EPOCH of each user who has a home (user_home.h). */
void store_homes(const char *image, struct buf *out);
/* A message to every INBOX, a checkpoint, and again store_check: can one go on from here? */
void store_work(struct buf *problems);

/* Files below dir, whole paths, sorted; directories end in '/'. */
void store_files(const char *dir, strarray_t *paths);
/* Names of all mailboxes with files, deleted ones too. */
void store_mailboxes(strarray_t *names);
/* Is it a file of the configuration directory that holds data? Relative path. */
bool store_is_data(const char *relative);

#endif
