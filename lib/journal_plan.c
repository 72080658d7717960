/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_plan -- what a run of records does to each path, seen as a whole
 *
 * See the header. Memory grows with the number of distinct paths, not with the bytes
 * of the records. Nothing fails.
 */
#include <config.h>

#include "journal_plan.h"

#include <stdlib.h>

#include "xmalloc.h"

void journal_plan_init(struct journal_plan *plan)
{
    construct_hash_table(&plan->paths, 1024);
    plan->nops = 0;
}

static void free_path(void *data)
{
    struct journal_plan_path *pp = data;
    free(pp->marks);
    free(pp);
}

void journal_plan_fini(struct journal_plan *plan)
{
    free_hash_table(&plan->paths, free_path);
}

static struct journal_plan_path *get_path(struct journal_plan *plan, const char *path)
{
    struct journal_plan_path *pp = hash_lookup(path, &plan->paths);
    if (!pp) {
        pp = xzmalloc(sizeof(*pp));
        hash_insert(path, pp, &plan->paths);
    }
    return pp;
}

static void add_mark(struct journal_plan_path *pp, const struct journal_op *op, uint64_t n)
{
    if (pp->nmarks == pp->marks_alloc) {
        pp->marks_alloc = (unsigned)grow_alloc(pp->marks_alloc, pp->nmarks + 1);
        pp->marks = xreallocarray(pp->marks, pp->marks_alloc, sizeof(*pp->marks));
    }
    pp->marks[pp->nmarks++] =
        (struct journal_mark){ .generation = op->number, .end = op->off, .flags = op->flags, .op = n };
}

static void add_op(struct journal_plan *plan, const struct journal_op *op, uint64_t n)
{
    if (op->kind == JOURNAL_OP_KVSET || op->kind == JOURNAL_OP_KVDEL) return;
    struct journal_plan_path *pp = get_path(plan, journal_op_target(op));

    switch (op->kind) {
    case JOURNAL_OP_UNLINK_LAZY:
        pp->lazy = n;
        return;
    case JOURNAL_OP_MKDIR:
        pp->make = n;
        return;
    case JOURNAL_OP_RMDIR:
        pp->rmdir = n;
        return;
    case JOURNAL_OP_DB:
        add_mark(pp, op, n);
        pp->make = n;
        return;
    case JOURNAL_OP_PWRITE:
    case JOURNAL_OP_TRUNCATE:
    case JOURNAL_OP_UTIME:
        return;
    default:
        break;
    }
    pp->kill = n;
    pp->nmarks = 0;
    if (op->kind != JOURNAL_OP_UNLINK) pp->make = n;
}

void journal_plan_add(struct journal_plan *plan, const struct journal_view *view)
{
    struct journal_op_iter iter;
    struct journal_op op;

    journal_op_iter_init(&iter, view);
    while (journal_op_iter_next(&iter, &op)) add_op(plan, &op, ++plan->nops);
}

const struct journal_plan_path *journal_plan_path(const struct journal_plan *plan, const char *path)
{
    return hash_lookup(path, &plan->paths);
}

bool journal_plan_removes(const struct journal_plan_path *pp)
{
    return pp->lazy > pp->make;
}

bool journal_plan_removes_dir(const struct journal_plan_path *pp)
{
    return pp->rmdir > pp->make;
}
