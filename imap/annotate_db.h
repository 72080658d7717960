/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_ANNOTATE_DB_H
#define INCLUDED_ANNOTATE_DB_H
/*
 * annotate_db -- what the annotations of mailboxes and of messages have in common
 */
#include "annotate.h"
#include "annotation_codec.h"

/* annotations.db of the configuration; txn NULL: for reading. */
/* Path of annotations.db. */
void annotate_fname(struct buf *path);
int annotate_open(struct txn *txn, struct txn_db **dbp);

/* Which records of a database, and whom to tell. */
struct annotate_query {
    const char *scope;    /* uniqueid, UID in decimal, "" (server); NULL: all scopes are UIDs */
    const char *entry;    /* NULL: all */
    const char *userid;   /* NULL: all, "": shared */
    const char *owner;    /* of the mailbox, NULL: none */
    const char *mboxname; /* handed to the callback */
    bool deleted;         /* tombstones too */
    annotate_cb *cb;
    void *rock;
};
int annotate_db_foreach(struct txn_db *db, const struct annotate_query *q);

/*
 * One record by its exact key (as annotation_key_print): v->value is a copy in buf, valid until
 * buf changes. IMAP_NOTFOUND.
 */
int annotate_db_fetch(struct txn_db *db, const struct buf *key, struct annotation_value *v,
                      struct buf *buf);
int annotate_db_store(struct txn_db *db, const struct buf *key, const struct annotation_value *v);

#endif
