/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SUB_HISTORY_H
#define INCLUDED_SUB_HISTORY_H
/*
 * sub_history -- who said last what is subscribed: a user's subhistory file (doc/subhistory.md)
 *
 * Under the user's lock; read and apply are transactions of their own.
 */
#include <stddef.h>
#include <time.h>

#include "sub_entry.h"
#include "txn.h"

/*
 * All of it, brought into line with the subscriptions first: what another program has changed is taken for changed when the
 * file was. Nothing is made for a user without subscriptions. Entries are added to *list.
 */
int sub_history_read(const char *userid, struct sub_list *list);
/* What holds against the history here is put into it, and the subscriptions follow. *changed: how many names. */
int sub_history_apply(const char *userid, const struct sub_list *list, size_t *changed);
/* Names that were unsubscribed before then are forgotten. */
int sub_history_expire(struct txn *txn, const char *userid, time_t before, size_t *removed);
/* A stamp that is greater than all in the list, and not before now. */
uint64_t sub_history_stamp(const struct sub_list *list);

#endif
