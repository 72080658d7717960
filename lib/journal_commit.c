/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_commit -- from a sealed record to durable, applied files
 *
 * The order is the contract (doc/journal.md, "Commit"):
 *   1. names that still share their inode with others are settled by a checkpoint first
 *   2. early databases that were not announced in this window are announced, durably
 *   3. the record is appended
 *   4. early databases are applied, and their locks may go
 *   5. the log is synced, together with everyone else who waits for that
 *   6. the rest is applied, without a sync
 * No file that a user's lock covers changes before its record is durable, so a power
 * cut never leaves half of a record that is lost.
 */
#include <config.h>

#include "journal_commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal_apply.h"
#include "journal_int.h"
#include "mutant.h"
#include "xmalloc.h"
#include "xsyslog.h"

int journal_enter(struct journal *j)
{
    int r = journal_bytelock(j, JLOCK_GATE, DISKIO_LOCK_SHARED, 0);
    if (r) return r;
    r = journal_applying(j);
    journal_byteunlock(j, JLOCK_GATE);
    return r;
}

void journal_leave(struct journal *j)
{
    journal_applied(j);
}

/* ---- 1: shared inodes ---- */

/* Does it take a name away from the inode that has it now? */
static bool is_kill(const struct journal_op *op)
{
    switch (op->kind) {
    case JOURNAL_OP_CREATE:
    case JOURNAL_OP_REPLACE:
    case JOURNAL_OP_LINK:
    case JOURNAL_OP_SYMLINK:
    case JOURNAL_OP_RENAME:
    case JOURNAL_OP_UNLINK:
        return true;
    default:
        return false;
    }
}

/*
 * A name whose inode has another name may be the source of a link in this window of the log. Were
 * it given to something else now, that link could not be redone.
 */
static bool kills_shared_inode(const struct journal_view *view)
{
    struct journal_op_iter iter;
    struct journal_op op;
    struct stat st;

    journal_op_iter_init(&iter, view);
    while (journal_op_iter_next(&iter, &op)) {
        if (!is_kill(&op)) continue;
        if (!diskio_lstat(journal_op_target(&op), &st) && S_ISREG(st.st_mode) && st.st_nlink > 1) return true;
    }
    return false;
}

/* ---- names that are being removed ---- */

static bool is_being_removed(const struct journal *j, const char *path, size_t len)
{
    char *name = xstrndup(path, len);
    uint64_t hash = journal_hash(name);
    bool found = false;

    for (uint32_t i = 0; i < j->ctl->nremoving && !found; i++) found = j->ctl->removing[i] == hash;
    free(name);
    return found;
}

/* Does the record change a name that a checkpoint is about to remove, or something below one? After journal_enter. */
static bool meets_removal(const struct journal *j, const struct journal_view *view)
{
    struct journal_op_iter iter;
    struct journal_op op;

    if (!j->ctl->nremoving) return false;
    journal_op_iter_init(&iter, view);
    while (journal_op_iter_next(&iter, &op)) {
        if (op.kind == JOURNAL_OP_KVSET || op.kind == JOURNAL_OP_KVDEL) continue;
        const char *path = journal_op_target(&op);
        for (size_t len = strlen(path); len > 1; len--) {
            if ((!path[len] || path[len] == '/') && is_being_removed(j, path, len)) return true;
        }
    }
    return false;
}

/* Until the checkpoint that removes them is over, or its process. */
static int await_removal(struct journal *j)
{
    int r = journal_bytelock(j, JLOCK_CHECKPOINT, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    j->ctl->nremoving = 0;
    journal_byteunlock(j, JLOCK_CHECKPOINT);
    return 0;
}

/* ---- 2: announcements ---- */

static struct journal_announced *announced_slot(struct journal *j, const char *path)
{
    uint64_t hash = journal_hash(path);
    for (unsigned i = 0; i < JOURNAL_ANNOUNCED; i++) {
        struct journal_announced *a = &j->ctl->announced[(hash + i) % JOURNAL_ANNOUNCED];
        uint64_t seen = 0;
        if (atomic_compare_exchange_strong(&a->hash, &seen, hash) || seen == hash) return a;
    }
    return NULL; /* more early databases than there is room for: each time anew */
}

static bool is_announced(struct journal *j, const struct journal_op *db)
{
    const struct journal_announced *a = announced_slot(j, db->path);
    return a && a->lsn && a->lsn >= j->ctl->window && a->generation == db->number;
}

/* Adds the early databases of the record that need it; how many. */
static unsigned collect_unannounced(struct journal *j, const struct journal_view *view, struct journal_record *rec)
{
    struct journal_op_iter iter;
    struct journal_op op;
    unsigned n = 0;

    journal_op_iter_init(&iter, view);
    while (journal_op_iter_next(&iter, &op)) {
        if (op.kind != JOURNAL_OP_DB || !(op.flags & JOURNAL_DB_EARLY) || is_announced(j, &op)) continue;
        op.lock = journal_record_lock(rec, journal_view_lock(view, op.lock, NULL), true);
        journal_record_op(rec, &op);
        n++;
    }
    return n;
}

static int announce(struct journal *j, const struct journal_view *view)
{
    struct journal_record rec;
    struct journal_view mine;
    uint64_t start, end;
    int r = 0;

    journal_record_init(&rec);
    if (!collect_unannounced(j, view, &rec)) goto done;
    r = journal_record_seal(&rec, JOURNAL_RECORD_ANNOUNCE, view->head.time);
    if (!r) r = journal_log_append(j, &rec, &start, &end);
    if (r) goto done;
    journal_slot_free(j, j->slot); /* it changes nothing */
    j->slot = NULL;
    r = journal_sync(j, end);
    if (!r) r = journal_view_init(&mine, rec.bytes.s, rec.bytes.len, start);
    if (r) goto done;

    struct journal_op_iter iter;
    struct journal_op op;
    journal_op_iter_init(&iter, &mine);
    while (journal_op_iter_next(&iter, &op)) {
        struct journal_announced *a = announced_slot(j, op.path);
        if (!a) continue;
        a->lsn = 0;
        a->generation = op.number;
        a->lsn = start;
    }
    journal_view_fini(&mine);
done:
    journal_record_fini(&rec);
    return r;
}

/* ---- 4 and 6 ---- */

static uint32_t early_bits(const struct journal_view *view)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < view->head.nlocks && i < 32; i++) {
        bool early;
        journal_view_lock(view, i, &early);
        if (early) bits |= 1u << i;
    }
    return bits;
}

static int apply_early(struct journal *j, const struct journal_view *view, struct journal_commit *commit)
{
    uint32_t bits = early_bits(view);
    if (!bits) return 0;
    struct journal_apply apply = { .j = j };
    int r = journal_apply_record(&apply, view, JOURNAL_APPLY_EARLY, 0);
    /* Half done: whoever takes such a lock next does it again. */
    if (!r) j->slot->done |= bits;
    if (commit->early_applied) commit->early_applied(commit->rock);
    return r;
}

static int apply_late(const struct journal_view *view)
{
    struct journal_apply apply = { 0 };
    int r = journal_apply_record(&apply, view, JOURNAL_APPLY_LATE, 0);
    /* There is nothing left to apply it to; said in the log. */
    if (!r && apply.gone) r = -ENOENT;
    return r;
}

static int sync_and_apply_late(struct journal *j, const struct journal_view *view, struct journal_commit *commit)
{
    bool swapped = mutant_is("apply-before-sync");
    int r = swapped ? apply_late(view) : 0;
    if (!r) r = journal_sync(j, commit->lsn);
    if (r) return r;
    commit->durable = true;
    return swapped ? 0 : apply_late(view);
}

/* Between journal_enter and journal_leave. -EBUSY: no slot. */
static int commit_record(struct journal *j, struct journal_record *rec, struct journal_commit *commit)
{
    struct journal_view view;
    uint64_t start;

    int r = journal_log_append(j, rec, &start, &commit->lsn);
    if (r) {
        commit->lsn = 0;
        return r;
    }
    r = journal_view_init(&view, rec->bytes.s, rec->bytes.len, start);
    if (r) return r;

    int early = apply_early(j, &view, commit);
    r = sync_and_apply_late(j, &view, commit);
    if (!early && (!r || r == -ENOENT))
        journal_slot_free(j, j->slot);
    else
        j->slot->pid = 0;
    j->slot = NULL;
    journal_view_fini(&view);
    if (r || early)
        syslog(LOG_ERR, "journal: record at %llx of %s is %s but not applied: %s", (unsigned long long)start, j->dir,
               commit->durable ? "durable" : "appended", strerror(r ? -r : -early));
    return r ? r : early;
}

int journal_commit(struct journal *j, struct journal_record *rec, struct journal_commit *commit)
{
    struct journal_view view;
    commit->lsn = 0;
    commit->durable = false;
    if (j->ctl->failed) return -EROFS;

    /* Any LSN will do to look at the operations. */
    journal_record_stamp(rec, 0, 0, 0);
    int r = journal_view_init(&view, rec->bytes.s, rec->bytes.len, 0);
    if (r) return r;
    if (kills_shared_inode(&view)) r = journal_checkpoint(j, 0);

    for (int tries = 0; !r && tries < 10; tries++) {
        r = journal_enter(j);
        if (r) break;
        if (meets_removal(j, &view)) {
            journal_leave(j);
            r = await_removal(j);
            continue;
        }
        r = mutant_is("no-announcement") ? 0 : announce(j, &view);
        if (!r) r = commit_record(j, rec, commit);
        journal_leave(j);
        if (r != -EBUSY) break;
        /* All slots taken: a checkpoint waits for the living and finishes the dead. */
        r = journal_checkpoint(j, 0);
    }
    journal_view_fini(&view);
    return r || commit->lsn ? r : -EBUSY;
}
