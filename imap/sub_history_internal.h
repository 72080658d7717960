/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SUB_HISTORY_INTERNAL_H
#define INCLUDED_SUB_HISTORY_INTERNAL_H
/*
 * sub_history_internal -- the file (sub_history.c), and the transactions that are about nothing else (sub_history_apply.c)
 */
#include <stdbool.h>
#include <stdint.h>

#include "sub_entry.h"
#include "txn.h"

#define USEC 1000000u /* in a second */

struct history {
    struct txn *txn;
    const char *userid;
    struct txn_db *db, *sub;
    char *path;
    uint64_t last; /* stamp given last */
    bool known;    /* it has a version */
    bool aside;    /* set aside by this transaction: nothing more is put into it */
};

/* Needs the user's lock. Without a file and without subscriptions nothing is staged until something is put. */
int sub_history_open(struct txn *txn, struct txn_db *sub, const char *userid, struct history *h);
void sub_history_close(struct history *h);
/* The name as it will be read; malloc'ed. NULL: the file of subscriptions can't say it. */
char *sub_history_readable(const struct history *h, const char *name);
int sub_history_put(struct history *h, const struct sub_entry *e);
int sub_history_read_all(struct history *h, struct sub_list *list);
/* The same, in line with the subscriptions. */
int sub_history_read_in_line(struct history *h, struct sub_list *list);
/* What an error of the database means: 0 if the file was set aside for it. */
int sub_history_db_failed(struct history *h, int r);

#endif
