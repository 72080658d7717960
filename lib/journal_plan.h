/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_PLAN_H
#define INCLUDED_JOURNAL_PLAN_H
/*
 * journal_plan -- what a run of records does to each path, seen as a whole
 *
 * Before records are redone, or lazy removals done, all of them are read once. For
 * each path the plan then knows the last operation that decided it as a whole, so what
 * came before it can be left out, and whether its name goes away in the end.
 * Operations are numbered from 1 in the order in which they were added.
 */
#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "journal_record.h"

struct journal_mark {
    uint64_t generation, end;
    unsigned flags; /* JOURNAL_DB_* */
    uint64_t op;    /* number of the operation */
};

struct journal_plan_path {
    uint64_t kill;  /* last CREATE, REPLACE, LINK or RENAME onto, UNLINK: what came before is void */
    uint64_t make;  /* last of these but UNLINK, or MKDIR, or DB */
    uint64_t lazy;  /* last UNLINK_LAZY */
    uint64_t rmdir; /* last RMDIR */
    struct journal_mark *marks; /* of a database, those after `kill` */
    unsigned nmarks, marks_alloc;
};

struct journal_plan {
    hash_table paths;
    uint64_t nops;
};

void journal_plan_init(struct journal_plan *plan);
void journal_plan_fini(struct journal_plan *plan);
/* Adds all operations of a record. */
void journal_plan_add(struct journal_plan *plan, const struct journal_view *view);
/* Never NULL for a path that was in a record. */
const struct journal_plan_path *journal_plan_path(const struct journal_plan *plan, const char *path);
/* The name is to be removed after all (files), and nothing made it anew. */
bool journal_plan_removes(const struct journal_plan_path *pp);
bool journal_plan_removes_dir(const struct journal_plan_path *pp);

#endif
