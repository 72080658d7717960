/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_RACL_H
#define INCLUDED_MBOXLIST_RACL_H
/*
 * mboxlist_racl -- reverse ACLs in mailboxes.db: kept, looked at, mended (handbook 01 §4.8, doc/reverse-acls.md)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mbentry.h"
#include "strarray.h"

struct auth_state;
struct txn;
struct txn_db;

/* ---- rules ---- */

/* What the records depend on besides the entries. */
struct racl_rules {
    strarray_t *admins; /* have no records */
    uint64_t number;    /* for the seal */
};
void racl_rules_get(struct racl_rules *rules);
void racl_rules_fini(struct racl_rules *rules);
/* Identifiers that have a record because of this entry, appended; NULL or a tombstone: none. */
void racl_identifiers(const struct racl_rules *rules, const mbentry_t *entry, strarray_t *out);
/* Replaces *key by that of a record of a mailbox. */
void racl_key(const char *identifier, const char *name, struct buf *key);

/* ---- upkeep ---- */

/* Has this database reverse ACLs (the marker)? Staged changes count. */
bool mboxlist_racl_ison(struct txn_db *db);
/* The entry of the name changes in this transaction: so will its records, in the same commit. */
void mboxlist_racl_changed(struct txn *txn, const char *name);

/* ---- use ---- */

/* Can the mailboxes of this identity be found by them? They are there and known to be right. */
bool mboxlist_racl_isusable(struct txn_db *db, const struct auth_state *auth);

/* ---- care ---- */

enum racl_problem {
    RACL_MISSING, /* a record that ought to be there is not, or has a value */
    RACL_STALE,   /* of a right, a mailbox or an identifier that is not (any more), or no key at all */
};
/* key: of the record; identifier and name (internal): what it says, NULL where it makes no sense. */
typedef int racl_problem_cb(enum racl_problem problem, const char *key, size_t keylen, const char *identifier,
                            const char *name, void *rock);
/* Compares all records with all entries. The callback's non-zero return ends it and is returned. */
int mboxlist_racl_compare(struct txn_db *db, racl_problem_cb *cb, void *rock);
/* Tells all problems of the records that mailboxes.db has; without the marker each record is one. */
int mboxlist_racl_verify(racl_problem_cb *cb, void *rock);
/* Makes the records, or brings them in line, and lets them be used; off: removes them (option reverseacls). */
int mboxlist_set_racls(bool on);
/* The same if there are records, and something else than transactions has changed the database since. */
int mboxlist_racl_renew(void);

#endif
