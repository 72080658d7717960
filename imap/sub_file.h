/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SUB_FILE_H
#define INCLUDED_SUB_FILE_H
/*
 * sub_file -- what sub_db (who is subscribed) and sub_history (who said so last) need of each other
 *
 * Both change only under the user's lock, in one transaction. sub decides: the history follows it.
 */
#include <stdbool.h>

#include "strarray.h"
#include "txn.h"

/* The file of a user; txn NULL: for reading, give it back with txn_db_close. */
int sub_file_open(const char *userid, struct txn *txn, unsigned flags, struct txn_db **dbp);
int sub_file_list(struct txn_db *db, const char *userid, strarray_t *names); /* internal names, sorted */
/*
 * The internal name of a record, malloc'ed; NULL: it is none. *control: a record that is no subscription, such as the version,
 * which comes first in files of version 2.
 */
char *sub_record_name(bool version2, const char *key, size_t keylen, const char *userid, bool *control);
/* Stage the change, and its SUB event; nothing if it is so already. */
int sub_file_set(struct txn *txn, struct txn_db *db, const char *userid, const char *name, bool subscribe);

/* Stage what is said of the name, now; before the change of sub itself. */
int sub_history_note(struct txn *txn, struct txn_db *sub, const char *userid, const char *name, bool subscribe);

/*
 * The file of damaged subscriptions is made anew from the history; takes the user's lock, of txn if there is one. IMAP_NOTFOUND: it is not
 * damaged, or there is nothing that it could be made of.
 */
int sub_heal(struct txn *txn, const char *userid, const char *path);

#endif
