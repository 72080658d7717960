/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_slot -- records on their way from the log to the files
 *
 * A record is entered in a slot before it is appended, and leaves it when it is applied
 * as a whole. The slot names the locks it was made under. So whoever gets one of
 * these locks and finds it there, unapplied, knows that its owner is dead: a living
 * one would still hold the lock. He finishes the record, under the redo lock, and needs
 * none of the record's other locks for that: nobody can pass them before the record
 * is finished. (doc/journal.md, "Dead committers".)
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal_apply.h"
#include "journal_int.h"
#include "xsyslog.h"

struct journal_slot *journal_slot_claim(struct journal *j, const struct journal_view *view, uint64_t start,
                                        uint64_t end)
{
    struct journal_control *ctl = j->ctl;
    struct journal_slot *slot = NULL;

    for (unsigned i = 0; i < ctl->nslots && !slot; i++) {
        if (!ctl->slots[i].start) slot = &ctl->slots[i];
    }
    if (!slot && ctl->nslots < JOURNAL_SLOTS) slot = &ctl->slots[ctl->nslots++]; /* one at a time: JLOCK_APPEND is held */
    if (!slot) return NULL;

    ctl->pending++;
    slot->end = end;
    slot->done = 0;
    slot->pid = (uint32_t)getpid();
    slot->nlocks = view->head.nlocks;
    for (uint32_t i = 0; i < view->head.nlocks && i < JOURNAL_SLOT_LOCKS; i++)
        slot->locks[i] = journal_hash(journal_view_lock(view, i, NULL));
    slot->start = start; /* last: from here on it counts */
    return slot;
}

void journal_slot_free(struct journal *j, struct journal_slot *slot)
{
    slot->start = 0;
    j->ctl->pending--;
}

void journal_slots_void(struct journal *j, uint64_t tail)
{
    for (unsigned i = 0; i < j->ctl->nslots; i++) {
        struct journal_slot *slot = &j->ctl->slots[i];
        if (slot->start && slot->start >= tail) journal_slot_free(j, slot);
    }
}

/* May the record in this slot have been made under the lock, and is that part not applied? */
static bool slot_concerns(const struct journal_slot *slot, uint64_t hash)
{
    uint32_t n = slot->nlocks, done = slot->done;
    if (n > JOURNAL_SLOT_LOCKS) return true;
    for (uint32_t i = 0; i < n; i++) {
        if (slot->locks[i] == hash) return !(done & 1u << i);
    }
    return false;
}

/* Is the lock one of the record's, and unapplied? */
static bool record_concerns(const struct journal_view *view, uint32_t done, const char *lockname)
{
    for (uint32_t i = 0; i < view->head.nlocks; i++) {
        if (!strcmp(journal_view_lock(view, i, NULL), lockname)) return i >= 32 || !(done & 1u << i);
    }
    return false;
}

/*
 * Finishes the record in the slot, under the redo lock. lockname: only if it was made under that
 * lock, which the caller holds; NULL: the caller knows that its owner is dead.
 */
static int finish_slot(struct journal *j, struct journal_slot *slot, uint64_t start, const char *lockname)
{
    struct journal_view view;
    struct buf buf = BUF_INITIALIZER;

    int r = journal_log_read(j, start, j->ctl->generation, &buf);
    if (r == 1 || (!r && journal_view_init(&view, buf.s, buf.len, start))) {
        syslog(LOG_ERR, "journal: pending record at %llx of %s can't be read", (unsigned long long)start, j->dir);
        r = -EIO;
    }
    if (r) goto done;

    if (slot->start == start && (!lockname || record_concerns(&view, slot->done, lockname))) {
        uint64_t end = start + buf.len;
        syslog(LOG_NOTICE, "journal: finishing the record at %llx that process %u left (%u operations)",
               (unsigned long long)start, view.head.pid, view.head.nops);
        r = journal_sync(j, end);
        if (!r) r = journal_redo_record(j, &view, slot->done);
        if (!r) journal_slot_free(j, slot);
    }
    journal_view_fini(&view);
done:
    buf_free(&buf);
    return r;
}

/*
 * Nobody works on it: whose it is, or a later process of that pid, would be committing now. (0: it could not be
 * applied, and whose it is may still have the locks.)
 */
static bool is_orphan(const struct journal *j, const struct journal_slot *slot)
{
    return slot->pid && !journal_is_applying(j, slot->pid);
}

enum which { OF_LOCK, ORPHANS, ALL };

static int finish_slots(struct journal *j, enum which which, const char *lockname, uint64_t hash)
{
    int r = 0;
    for (unsigned i = 0; !r && i < j->ctl->nslots; i++) {
        struct journal_slot *slot = &j->ctl->slots[i];
        uint64_t start = slot->start;
        if (!start || slot == j->slot) continue;
        if (which == OF_LOCK && !slot_concerns(slot, hash)) continue;
        if (which == ORPHANS && !is_orphan(j, slot)) continue;
        r = finish_slot(j, slot, start, lockname);
    }
    return r;
}

int journal_resolve(struct journal *j, const char *lockname)
{
    struct journal_control *ctl = j->ctl;
    if (!ctl->pending || j->redoing) return 0;

    uint64_t hash = journal_hash(lockname);
    bool found = false;
    for (unsigned i = 0; i < ctl->nslots && !found; i++) {
        const struct journal_slot *slot = &ctl->slots[i];
        found = slot->start && slot != j->slot && slot_concerns(slot, hash);
    }
    if (!found) return 0;

    int r = journal_bytelock(j, JLOCK_REDO, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    j->redoing = true;
    r = journal_tail_settle(j);
    if (!r) r = finish_slots(j, OF_LOCK, lockname, hash);
    j->redoing = false;
    journal_byteunlock(j, JLOCK_REDO);
    return r;
}

/* Commits stand still for ALL, so he who redoes, and may hang at it, is not waited for long. */
#define REDO_SECONDS 2u

static int finish_left(struct journal *j, enum which which)
{
    int r = which == ALL ? diskio_lock_within(j->lockfd, DISKIO_LOCK_EXCLUSIVE, REDO_SECONDS, JLOCK_REDO, 1)
                         : journal_bytelock(j, JLOCK_REDO, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r == -ETIMEDOUT ? -EAGAIN : r;
    j->redoing = true;
    r = journal_tail_settle(j);
    if (!r) r = finish_slots(j, which, NULL, 0);
    if (!r && which == ALL) j->ctl->pending = 0;
    j->redoing = false;
    journal_byteunlock(j, JLOCK_REDO);
    return r;
}

int journal_resolve_orphans(struct journal *j)
{
    bool found = false;
    for (unsigned i = 0; i < j->ctl->nslots && !found; i++) {
        const struct journal_slot *slot = &j->ctl->slots[i];
        found = slot->start && slot != j->slot && is_orphan(j, slot);
    }
    return found ? finish_left(j, ORPHANS) : 0;
}

int journal_resolve_all(struct journal *j)
{
    return finish_left(j, ALL);
}

const struct journal_slot *journal_slot_oldest(const struct journal *j)
{
    const struct journal_slot *oldest = NULL;
    for (unsigned i = 0; i < j->ctl->nslots; i++) {
        const struct journal_slot *slot = &j->ctl->slots[i];
        if (slot->start && (!oldest || slot->start < oldest->start)) oldest = slot;
    }
    return oldest;
}

uint64_t journal_lock_lsn(const struct journal *j, const char *lockname)
{
    return j->ctl->lock_lsn[journal_hash(lockname) % JOURNAL_LOCK_LSNS];
}
