/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_DB_H
#define INCLUDED_MBOXLIST_DB_H
/*
 * mboxlist_db -- what the files of mboxlist share: the open database
 */
#include <stdbool.h>

#include "mbentry.h"
#include "txn.h"

struct buf;
struct namespace;

/* mailboxes.db, inside txn or (NULL) for reading what is committed. Given back with _close. */
int mboxlist_db_open(struct txn *txn, struct txn_db **dbp);
/* The same for a transaction whose hook of TXN_ORDER_GLOBAL looks at it while nobody else changes it. */
int mboxlist_db_open_locked(struct txn *txn, struct txn_db **dbp);
/* For tools (ctl_mboxlist -f): this file instead of the configured one; NULL: the configured one. Borrowed. */
void mboxlist_db_set_file(const char *path);
bool mboxlist_db_is_other(void);
/* Notes how new the things read were (mboxlist_seen_lsn). NULL is fine. */
void mboxlist_db_close(struct txn_db **dbp);

/* Parses a key with its letter N and its value; a damaged record is logged with its name. */
int mboxlist_db_parse_n(const char *key, size_t keylen, const char *val, size_t len,
                        mbentry_t **entryp);
/* N record, whatever its type. IMAP_MAILBOX_NONEXISTENT. */
int mboxlist_db_fetch_n(struct txn_db *db, const char *name, mbentry_t **entryp);
/* I record with its history, whether its N record points back or not. IMAP_MAILBOX_NONEXISTENT. */
int mboxlist_db_fetch_i(struct txn_db *db, const char *uniqueid, mbentry_t **entryp);
/* Replaces *out by the key prefix of all names that begin with an internal name; "" or NULL: of all
 * names. A trailing dot stands for the level separator. */
void mboxlist_db_prefix(const char *prefix, struct buf *out);

#endif
