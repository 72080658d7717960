/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_hung -- a checkpoint, and what hangs in its way
 *
 * A checkpoint wants a moment in which no commit is on its way. One that does not end (its partition does not answer) is
 * not to keep all others, so it gives up soon, and remembers which commit it was: as long as that is on its
 * way commits are not stopped again. Meanwhile the log grows, which is said (doc/journal.md, "What hangs").
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "journal_int.h"
#include "util.h"
#include "xsyslog.h"

/* Seconds for which commits stand still at most; after which one tries again that gave up; and if the same commit is in the way. */
#define STOP_SECONDS 3u
#define AGAIN_SECONDS 30u
#define AGAIN_HUNG_SECONDS 600u

uint64_t journal_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec + 1;
}

/* A commit did not end: which one, if it has a record. */
static void note_hung(struct journal *j)
{
    const struct journal_slot *slot = journal_slot_oldest(j);
    j->ctl->hung = slot ? slot->start : 0;
    j->ctl->hung_at = journal_seconds();
}

/* The commit that was in the way last time, if it still is. */
static const struct journal_slot *find_hung(struct journal *j)
{
    const struct journal_slot *slot = journal_slot_oldest(j);
    if (!slot || slot->start != j->ctl->hung || !journal_is_applying(j, slot->pid)) return NULL;
    return journal_seconds() - j->ctl->hung_at < AGAIN_HUNG_SECONDS ? slot : NULL;
}

/* What keeps it from being made. */
static const char *obstacle(struct journal *j, char text[96])
{
    const struct journal_slot *slot = find_hung(j);
    pid_t pid = diskio_lock_holder_range(j->lockfd, DISKIO_LOCK_EXCLUSIVE, JLOCK_CHECKPOINT, 1);

    snprintf(text, 96, "a commit did not end, or a file system did not answer");
    if (slot)
        snprintf(text, 96, "the commit of process %u, record at %llx, does not end", (unsigned)slot->pid,
                 (unsigned long long)slot->start);
    else if (journal_is_apart(j))
        snprintf(text, 96, "a file system does not answer");
    else if (pid > 0)
        snprintf(text, 96, "process %d is at one that does not end", (int)pid);
    return text;
}

void journal_say_it_grows(struct journal *j)
{
    char text[96];
    uint64_t told = j->ctl->told, tail = j->ctl->tail, from = cyr_max(told, (uint64_t)j->ctl->checkpoint);
    /* While one is under way the log may grow. */
    uint64_t least = j->ctl->gave_up ? j->checkpoint_size : 4 * j->checkpoint_size;

    if (tail < from + least || !atomic_compare_exchange_strong(&j->ctl->told, &told, tail)) return;
    syslog(LOG_ALERT, "journal: %s holds %llu bytes and grows, since no checkpoint can be made: %s", j->dir,
           (unsigned long long)(tail - j->ctl->checkpoint), obstacle(j, text));
}

int journal_no_checkpoint(struct journal *j)
{
    char text[96];
    syslog(LOG_ERR, "journal: no checkpoint of %s: %s", j->dir, obstacle(j, text));
    return -EAGAIN;
}

bool journal_is_hopeless(struct journal *j, bool due)
{
    uint64_t gave_up = j->ctl->gave_up;
    if (find_hung(j) || journal_is_apart(j)) return true;
    return due && gave_up && journal_seconds() - gave_up < AGAIN_SECONDS;
}

int journal_stop_commits(struct journal *j)
{
    int r = journal_bytelock(j, JLOCK_GATE, DISKIO_LOCK_EXCLUSIVE, 0);
    if (r) return r;
    r = journal_stop_applying(j, STOP_SECONDS);
    if (!r) return 0;
    journal_byteunlock(j, JLOCK_GATE);
    if (r != -ETIMEDOUT) return r;
    note_hung(j);
    return -EAGAIN;
}

void journal_go_commits(struct journal *j)
{
    journal_allow_applying(j);
    journal_byteunlock(j, JLOCK_GATE);
}
