/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_APPLY_H
#define INCLUDED_JOURNAL_APPLY_H
/*
 * journal_apply -- carries the operations of records out
 *
 * The same code applies a fresh record, finishes one that a dead process left, and redoes
 * all of them after a crash. Nothing is synced here.
 */
#include <stdbool.h>
#include <stdint.h>

#include "journal_plan.h"
#include "journal_record.h"

struct journal;
struct journal_dbs;

struct journal;
struct journal_apply {
    struct journal *j; /* whose seal is moved; NULL: there is none yet */
    const char *path; /* file open for changes of its bytes; NULL: none. Borrowed from the record */
    int fd;
    const struct journal_plan *plan; /* redo: leaves out what later operations void; NULL: first time */
    uint64_t opno;                   /* of the last operation seen, as the plan numbers them */
    bool rewind;                     /* after a crash: databases are cut back at their first mark */
    struct hash_table *rewound;      /* "dev:ino" of those */
    unsigned gone;                   /* operations whose file or directory is not there: logged, left out */
    unsigned databases;              /* cut back */
};

/* Which part of a record. */
#define JOURNAL_APPLY_LATE 1u  /* file operations, and databases applied late */
#define JOURNAL_APPLY_EARLY 2u /* databases with JOURNAL_DB_EARLY */
/*
 * Applies these parts; of the early databases those whose lock's bit is not in `done`.
 * 0, or -errno at the first operation that failed for another reason than a missing file.
 */
int journal_apply_record(struct journal_apply *apply, const struct journal_view *view, unsigned parts, uint32_t done);

/* Finishes a record that a dead process left: as above with a plan of its own. */
int journal_redo_record(struct journal *j, const struct journal_view *view, uint32_t done);

#endif
