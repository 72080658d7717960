/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_DB_H
#define INCLUDED_JOURNAL_DB_H
/*
 * journal_db -- the key-value part of a record
 */
#include <stdint.h>

#include "journal_apply.h"

/* One database operation of a record, with the changes that follow it. */
struct journal_db_change {
    struct journal_apply *apply;
    const struct journal_op *db;
    struct journal_op_iter changes; /* at the first of them */
    uint32_t n;                     /* how many */
};
/*
 * Carries the changes out in one transaction of the database, without a sync. With apply->rewind
 * the file is first cut back, once, to the oldest mark that fits it. 0 or -errno.
 */
int journal_db_apply(struct journal_db_change *change);
/* A damaged database becomes PATH.damaged (logged). 0 or -errno. */
int journal_db_set_aside(const char *path);

#endif
