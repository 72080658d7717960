/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_FORMER_H
#define INCLUDED_MBOXLIST_FORMER_H
/*
 * mboxlist_former -- identities that have no mailbox any more (handbook 03 §15.2, 07 W044)
 *
 * A name that a mailbox has left keeps a tombstone, its N record of type "d". When that record goes or another mailbox takes the name,
 * the I record of the identity stays as its tombstone: type "d", the last name, the modseq of
 * the deletion, and in the field R, which 3.6.1 reads past, the reason. So a mailbox that only another server has can be told from one that was
 * deleted here, whatever became of its name. cyr_expire removes them with the tombstones of names.
 */
#include <stdbool.h>
#include <time.h>

#include "mbentry.h"
#include "txn.h"

/* Values of R (mbentry_t.reason), with what follows the colon. */
#define FORMER_DELETED "deleted"
#define FORMER_REPLACED "replaced:" /* uniqueid of the mailbox that has the name now */
#define FORMER_MOVED "moved:"       /* server */

/*
 * The identity loses its name for good: its I record becomes its tombstone, with the time of a tombstone that it was before. Nothing
 * happens if it has another name by now, or its record cannot be read.
 */
int mboxlist_db_retire(struct txn *txn, struct txn_db *db, const char *uniqueid, const char *name,
                       const char *reason);

/* That mailbox of another server was never here, or has no mailbox any more; its messages are in that one. */
int mboxlist_former_add(struct txn *txn, const char *uniqueid, const char *name,
                        const char *replacedby);

/* What this transaction deletes has moved to that server. */
void mboxlist_moved_to(struct txn *txn, const char *server);
/* What mboxlist_moved_to said, as a reason; NULL: nothing. */
const char *mboxlist_moved_reason(struct txn *txn);

/* What is known of a mailbox. */
enum mboxlist_fate {
    MBOXLIST_NEVER_SEEN, /* neither the identity nor a mailbox or tombstone of that name */
    MBOXLIST_NAME_TAKEN, /* the identity was never seen; the name belongs to another mailbox (entry) */
    MBOXLIST_ALIVE,      /* is here (entry), maybe under another name */
    MBOXLIST_DELETED,    /* entry: the tombstone; its reason is NULL, or one of FORMER_* */
    MBOXLIST_UNKNOWN,    /* other records of the name or identity prove neither */
    MBOXLIST_DAMAGED     /* a record cannot be read, and the other one proves nothing; was logged */
};
/*
 * What became of the mailbox of that UNIQUEID, which another server knows by that name and with that CREATEDMODSEQ (0: not told)?
 * *entryp is the entry of the above, or NULL. An error: the database could not be read.
 */
int mboxlist_lookup_fate(const char *uniqueid, const char *name, modseq_t created, enum mboxlist_fate *fate,
                         mbentry_t **entryp);

/* Identities without a name that were retired before that time (0: all), for each its name and UNIQUEID. Collects
 * first, so that the callback may change the database. */
typedef int mboxlist_former_cb(const char *name, const char *uniqueid, void *rock);
int mboxlist_former_foreach(time_t before, mboxlist_former_cb *cb, void *rock);
/* Forget one, if it is still one. The lock of its name's owner is held. */
int mboxlist_former_remove(struct txn *txn, const char *uniqueid);

/* i: as its I record is, with its history. The modseq of the change that gave it its present name, as the tombstone of the name before has it; 0: not
 * known. */
modseq_t mboxlist_named_at(const mbentry_t *i);

#endif
