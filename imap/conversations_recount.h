/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CONVERSATIONS_RECOUNT_H
#define INCLUDED_CONVERSATIONS_RECOUNT_H
/*
 * conversations_recount -- a user's conversations counted in memory, beside the database
 *
 *     rc = recount_new(cb, rock);              of a state that is there, for its folder numbers
 *     recount_begin(rc, state);
 *     while (...) recount_round(rc, NULL, &moved);     without a lock that lasts
 *     recount_round(rc, txn, &moved);                  under the user's lock: the last differences
 *     recount_store(rc, real);                         in that transaction
 *     recount_free(&rc);
 *
 * A round looks at every mailbox and counts what is other than in the round before.
 */
#include "conversations.h"

struct recount;

/* cb (may be NULL) hears the name of each mailbox when it is counted first. */
struct recount *recount_new(conv_mailbox_cb *cb, void *rock);
void recount_free(struct recount **rcp);
/* Forgets what was counted. Folders keep the numbers that they have in that state. */
void recount_begin(struct recount *rc, struct conversations_state *state);
/*
 * txn NULL: each mailbox is looked at under its owner's shared lock, which is given back before its messages are counted.
 * *moved: how many records were counted. IMAP_AGAIN: something is gone that was counted; begin anew.
 */
int recount_round(struct recount *rc, struct txn *txn, size_t *moved);
/*
 * Makes all derived records of real, in its transaction, what was counted; only those that differ are written. Nothing but
 * recount_free may follow.
 */
int recount_store(struct recount *rc, struct conversations_state *real);

#endif
