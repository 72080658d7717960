/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_PENDING_INT_H
#define INCLUDED_MBOXLIST_PENDING_INT_H
/*
 * mboxlist_pending_int -- what mboxlist_view.c (reading) and mboxlist_pending.c (changing) share
 */
#include "buf.h"
#include "mboxlist_pending.h"

#define PENDING_RENAME "PR"
#define PENDING_HEADER "PH"

struct pending {
    struct pending *next;
    struct buf from, to; /* what the keys of N records of the folders begin with: the separator is the last byte */
    char *oldinbox, *newinbox;
    modseq_t modseq;
    time_t mtime;
};

/* A folder that has not followed. */
struct unfollowed {
    mbentry_t *old;
    mbentry_t *now;  /* as it will be */
    mbentry_t *left; /* the tombstone; mtime: that of the rename */
};

/* All renames that this database tells of; NULL: none, which costs no look at it. */
int pending_load(struct txn_db *db, struct pending **listp);
void pending_free(struct pending **listp);
/* Whose folder has this key of an N record, by the new and by the old name? NULL: nobody's. */
const struct pending *pending_to(const struct pending *list, const char *key, size_t keylen);
const struct pending *pending_from(const struct pending *list, const char *key, size_t keylen);
/* The folder whose key ends in these bytes. IMAP_NOTFOUND: it has followed, or is none. */
int pending_folder(struct txn_db *db, const struct pending *p, const char *rest, size_t restlen, struct unfollowed *u);
void unfollowed_fini(struct unfollowed *u);
void pending_key(const struct buf *prefix, const char *rest, size_t restlen, struct buf *key);

#endif
