/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_FOLLOW_H
#define INCLUDED_MBOXLIST_FOLLOW_H
/*
 * mboxlist_follow -- a user with many folders has got another name: they follow (doc/users.md)
 */
#include <stdbool.h>

#include "ptrarray.h"
#include "txn.h"

struct buf;

/* Can these be left to follow, INBOX first? As many as that, and each with the files and records that a rename leaves where they are. */
bool mboxlist_may_follow(const ptrarray_t *entries, struct txn *txn);
/* The INBOX has its new name: the folders are to follow. *later false: they cannot. */
int mboxlist_rename_later(struct txn *txn, const char *oldinbox, const char *newinbox, bool *later);

/* Told now and then: so many folders of this user have followed. */
typedef void mboxlist_follow_cb(const char *inbox, unsigned count, void *rock);
/* All folders of all users that are to follow do so, some a transaction. Not inside one. cb may be NULL. IMAP_AGAIN: not all could. */
int mboxlist_follow_all(mboxlist_follow_cb *cb, void *rock);
/* A transaction of it: up to max folders of this INBOX behind `after`, which is changed (begin: empty). *count 0: it was the last one. */
int mboxlist_follow_batch(const char *inbox, unsigned max, struct buf *after, unsigned *count);
/* Starts a process that does it, if there are any; it is not waited for. */
void mboxlist_follow_start(void);

#endif
