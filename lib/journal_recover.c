/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_recover -- from the files that a crash left to a store in order
 *
 * From the checkpoint on, every whole record of the log is redone, in order; the first one that is
 * not whole ends the log and never happened. All file systems are synced, and a checkpoint says so; lazy removals
 * are done, and a checkpoint with a new generation begins an empty log. Until that
 * one is durable nothing of the old log is touched: a crash on the way only
 * means to start again.
 *
 * It refuses (-EUCLEAN) when a file or directory that must be there is not, as with a partition
 * that is not mounted, or when synced bytes of the log itself are damaged; `force` goes on
 * without them. Nothing is deleted because it could not be read.
 */
#include <config.h>

#include "journal_recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash.h"
#include "journal_apply.h"
#include "journal_int.h"
#include "xsyslog.h"

#define FIRST_LSN 4096u

/* The upper half counts; nobody can know the lower half, and so forge a record, in advance. */
static uint64_t next_generation(uint64_t generation)
{
    uint32_t random = 0;
    ssize_t n = getrandom(&random, sizeof(random), 0);
    (void)n;
    return ((generation >> 32) + 1) << 32 | random;
}

/* The very first start: an empty log. */
static int begin(struct journal *j, struct journal_checkpoint *cp)
{
    uint64_t *starts;
    size_t n;
    int r = journal_segments(j->dir, &starts, &n);
    if (r) return r;
    free(starts);
    if (n) {
        syslog(LOG_CRIT, "journal: %s has segments but no checkpoint file; restore that file or move the segments away",
               j->dir);
        return -EUCLEAN;
    }
    cp->lsn = cp->lazy = FIRST_LSN;
    cp->generation = next_generation(0);
    /* Nothing in the directory is durable before its name is. */
    r = diskio_sync_parent(j->dir);
    if (r) {
        syslog(LOG_ERR, "journal: can't sync the parent of %s: %s", j->dir, strerror(-r));
        return r;
    }
    return journal_checkpoint_write(j->dir, cp);
}

struct pass {
    struct journal *j;
    uint64_t generation;
    uint64_t pos;
    struct buf buf;
    struct journal_view view;
};

/* The next record: 1 with pass->view (journal_view_fini), 0 at the end of the log. */
static int pass_next(struct pass *pass)
{
    pass->pos += pass->buf.len;
    buf_reset(&pass->buf);
    int r = journal_log_read(pass->j, pass->pos, pass->generation, &pass->buf);
    if (r == 1) {
        buf_reset(&pass->buf);
        return 0;
    }
    if (!r) r = journal_view_init(&pass->view, pass->buf.s, pass->buf.len, pass->pos);
    return r ? r : 1;
}

/* Reads all there is: one plan of what will be redone, one of what is removed in the end. */
static int make_plans(struct journal *j, const struct journal_checkpoint *cp, struct journal_plan *redo,
                      struct journal_plan *lazy, uint64_t *tailp)
{
    struct pass pass = { .j = j, .generation = cp->generation, .pos = cp->lazy };
    int r;

    while ((r = pass_next(&pass)) == 1) {
        if (pass.pos >= cp->lsn) journal_plan_add(redo, &pass.view);
        journal_plan_add(lazy, &pass.view);
        journal_view_fini(&pass.view);
    }
    if (!r && pass.pos < cp->lsn) {
        /* Only garbage would be left; what matters begins at lsn. */
        syslog(LOG_WARNING, "journal: no record at %llx of %s: files removed before may have stayed",
               (unsigned long long)pass.pos, j->dir);
        pass.pos = cp->lsn;
        while ((r = pass_next(&pass)) == 1) {
            journal_plan_add(redo, &pass.view);
            journal_plan_add(lazy, &pass.view);
            journal_view_fini(&pass.view);
        }
    }
    *tailp = pass.pos;
    buf_free(&pass.buf);
    return r;
}

static void tell_events(const struct journal_view *view, struct journal_recovery *recovery)
{
    struct journal_event_iter iter;
    struct journal_event event = { .lsn = view->head.lsn + view->head.length, .time = (time_t)view->head.time };

    if (!recovery->event) return;
    journal_event_iter_init(&iter, view);
    while (journal_event_iter_next(&iter, &event.line, &event.flags)) recovery->event(&event, recovery->rock);
}

static int redo_all(struct journal *j, const struct journal_checkpoint *cp, const struct journal_plan *plan,
                    struct journal_recovery *recovery)
{
    struct pass pass = { .j = j, .generation = cp->generation, .pos = cp->lsn };
    hash_table rewound = HASH_TABLE_INITIALIZER;
    construct_hash_table(&rewound, 64);
    struct journal_apply apply = { .plan = plan, .rewind = true, .rewound = &rewound };
    int r;

    while ((r = pass_next(&pass)) == 1) {
        r = journal_apply_record(&apply, &pass.view, JOURNAL_APPLY_EARLY | JOURNAL_APPLY_LATE, 0);
        if (!r) tell_events(&pass.view, recovery);
        recovery->records++;
        journal_view_fini(&pass.view);
        if (r) break;
    }
    recovery->ops = (unsigned)apply.opno;
    recovery->skipped = apply.gone;
    recovery->databases = apply.databases;
    free_hash_table(&rewound, NULL);
    buf_free(&pass.buf);

    if (!r && apply.gone && !recovery->force) {
        syslog(LOG_CRIT, "journal: %u operations can't be redone because their files or directories are gone. "
               "Is a partition not mounted? \"ctl_cyrusdb -r -f\" goes on without them", apply.gone);
        r = -EUCLEAN;
    }
    return r;
}

static int check_damage(struct journal *j, const struct journal_checkpoint *cp, uint64_t tail,
                        const struct journal_recovery *recovery)
{
    int r = journal_log_isdamaged(j, tail, cp->generation);
    if (r <= 0) return r;
    syslog(LOG_CRIT, "journal: the log in %s is damaged at %llx: records behind it were durable and can't be reached",
           j->dir, (unsigned long long)tail);
    return recovery->force ? 0 : -EUCLEAN;
}

/*
 * What is lazily removed may be the source of a link, so the links must not need to be made again. Generation and
 * `lazy` stay: the removals are done again if this recovery dies.
 */
static int note_redone(struct journal *j, const struct journal_checkpoint *cp, uint64_t tail)
{
    struct journal_checkpoint redone = *cp;

    if (tail == cp->lsn) return 0;
    redone.lsn = tail;
    return journal_checkpoint_write(j->dir, &redone);
}

static void remove_lazy(const struct journal_plan *plan)
{
    const char *name, **dirs;
    size_t pos = 0;

    while (journal_lazy_files(plan, plan->nops, &pos, &name, 1)) journal_remove_file(name);
    size_t n = journal_lazy_dirs(plan, plan->nops, &dirs);
    for (size_t i = 0; i < n; i++) journal_remove_dir(dirs[i]);
    free(dirs);
}

static int redo_and_sync(struct journal *j, const struct journal_checkpoint *cp, struct journal_recovery *recovery,
                         uint64_t *tailp)
{
    struct journal_plan redo, lazy;

    journal_plan_init(&redo);
    journal_plan_init(&lazy);
    int r = make_plans(j, cp, &redo, &lazy, tailp);
    if (!r) r = check_damage(j, cp, *tailp, recovery);
    if (!r) r = redo_all(j, cp, &redo, recovery);
    if (!r) r = journal_sync_paths(j, &lazy);
    if (!r) r = note_redone(j, cp, *tailp);
    if (!r) {
        remove_lazy(&lazy);
        r = journal_sync_paths(j, &lazy);
    }
    journal_plan_fini(&redo);
    journal_plan_fini(&lazy);
    return r;
}

int journal_do_recover(struct journal *j, struct journal_recovery *recovery)
{
    struct journal_checkpoint cp;
    uint64_t *starts;
    size_t n;

    int r = journal_checkpoint_read(j->dir, &cp);
    if (r == -ENOENT) r = begin(j, &cp);
    if (!r) r = journal_segments(j->dir, &starts, &n);
    if (r) return r;
    free(starts);

    uint64_t tail = cp.lsn;
    recovery->checkpoint = cp.lsn;
    if (n) {
        r = redo_and_sync(j, &cp, recovery, &tail);
        cp.lsn = cp.lazy = tail;
        cp.generation = next_generation(cp.generation);
        if (!r) r = journal_checkpoint_write(j->dir, &cp);
    }
    recovery->tail = tail;
    if (!r) r = journal_control_build(j, tail, cp.generation);
    if (!r) journal_readers_spill(j, j->reader_max);
    if (!r) r = journal_segments_drop(j, tail, journal_readers_lsn(j), true);
    if (!r && recovery->records)
        syslog(LOG_NOTICE, "journal: recovered %s: %u records, %u operations redone, %u databases cut back, %u skipped",
               j->dir, recovery->records, recovery->ops, recovery->databases, recovery->skipped);
    return r;
}
