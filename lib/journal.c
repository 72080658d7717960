/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal -- opening and leaving the journal of a store
 *
 * Everyone who has it open holds the open lock shared. Whoever finds himself alone and no
 * live control page (the machine was started since, or this is the first start) recovers
 * first, under the exclusive lock; the others wait for him. Whoever leaves as the last
 * makes the store plain: checkpoint, empty log, no control page.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal_int.h"
#include "journal_recover.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define DEFAULT_SEGMENT_SIZE (16u << 20)
#define DEFAULT_CHECKPOINT_SIZE (64u << 20)
#define DEFAULT_READER_MAX (1024u << 20)

static struct journal *new_handle(const struct journal_config *config)
{
    struct journal *j = xzmalloc(sizeof(*j));
    j->dir = xstrdup(config->dir);
    j->segment_size = config->segment_size ? config->segment_size : DEFAULT_SEGMENT_SIZE;
    j->checkpoint_size = config->checkpoint_size ? config->checkpoint_size : DEFAULT_CHECKPOINT_SIZE;
    j->reader_max = config->reader_max ? config->reader_max : DEFAULT_READER_MAX;
    j->spill = config->spill;
    j->lockfd = j->append.fd = j->read.fd = -1;
    j->pid = getpid();
    return j;
}

static void free_handle(struct journal *j)
{
    journal_segment_close(&j->append);
    journal_segment_close(&j->read);
    journal_control_detach(j);
    diskio_close(j->lockfd);
    free(j->dir);
    free(j);
}

static int open_lockfile(struct journal *j)
{
    int r = diskio_mkdirs(j->dir, 0755);
    if (!r) {
        j->lockfd = diskio_open(journal_path(j, "lock"), O_RDWR | O_CREAT, 0666);
        if (j->lockfd < 0) r = j->lockfd;
    }
    if (r) syslog(LOG_ERR, "journal: can't use the directory %s: %s", j->dir, strerror(-r));
    return r;
}

/* Attaches to what others use, or recovers; leaves the open lock shared. */
static int join(struct journal *j, struct journal_recovery *recovery, bool recover)
{
    for (;;) {
        int r = journal_bytelock(j, JLOCK_OPEN, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK);
        if (!r) {
            r = recover ? -ENOENT : journal_control_attach(j);
            if (!r && j->ctl->failed) r = -ENOENT;
            if (r == -ENOENT) r = journal_do_recover(j, recovery);
            return r ? r : journal_bytelock(j, JLOCK_OPEN, DISKIO_LOCK_SHARED, 0);
        }
        if (r != -EWOULDBLOCK) return r;

        r = journal_bytelock(j, JLOCK_OPEN, DISKIO_LOCK_SHARED, 0);
        if (!r) r = journal_control_attach(j);
        if (!r) recovery->live = true;
        if (r != -ENOENT) return r;
        /* He who recovered gave up or died. */
        journal_byteunlock(j, JLOCK_OPEN);
    }
}

static int open_journal(const struct journal_config *config, struct journal_recovery *recovery, bool recover,
                        struct journal **jp)
{
    struct journal *j = new_handle(config);
    int r = open_lockfile(j);
    if (!r) r = join(j, recovery, recover);
    if (r) {
        free_handle(j);
        return r;
    }
    *jp = j;
    return 0;
}

int journal_open(const struct journal_config *config, struct journal **jp)
{
    struct journal_recovery recovery = { 0 };
    return open_journal(config, &recovery, false, jp);
}

int journal_recover(const struct journal_config *config, struct journal_recovery *recovery, struct journal **jp)
{
    struct journal_recovery mine = { 0 };
    if (!recovery) recovery = &mine;
    recovery->live = false;
    recovery->records = recovery->ops = recovery->skipped = recovery->databases = 0;
    recovery->checkpoint = recovery->tail = 0;

    int r = open_journal(config, recovery, true, jp);
    if (!r && recovery->live) {
        r = journal_checkpoint(*jp, 0);
        if (r) journal_abandon(jp);
    }
    return r;
}

void journal_abandon(struct journal **jp)
{
    if (!*jp) return;
    free_handle(*jp);
    *jp = NULL;
}

/*
 * Alone, with the journal as it is now; -EWOULDBLOCK: somebody has it open, -ENOENT: whoever came in between
 * has left it plain. Our shared lock goes first: of two that leave at the same moment, each
 * would else see the other.
 */
static int become_last(struct journal *j)
{
    journal_byteunlock(j, JLOCK_OPEN);
    int r = journal_bytelock(j, JLOCK_OPEN, DISKIO_LOCK_EXCLUSIVE, DISKIO_LOCK_NONBLOCK);
    if (r) return r;
    journal_control_detach(j);
    return journal_control_attach(j);
}

/* As the last one: everything durable, the log empty, the control page gone. */
static int leave_plain(struct journal *j)
{
    if (j->ctl->failed) return 0; /* the next start recovers */
    int r = journal_checkpoint_final(j);
    if (!r) r = diskio_unlink_quiet(journal_path(j, "control"));
    if (r) syslog(LOG_ERR, "journal: %s is left for the next start to recover: %s", j->dir, strerror(-r));
    return r;
}

int journal_close(struct journal **jp)
{
    struct journal *j = *jp;
    int r = 0;
    if (!j) return 0;

    if (j->pid == getpid()) {
        r = become_last(j);
        if (!r)
            r = leave_plain(j);
        else if (r == -EWOULDBLOCK || r == -ENOENT)
            r = 0;
    }
    journal_abandon(jp);
    return r;
}

int journal_after_fork(struct journal *j)
{
    if (j->pid == getpid()) return 0;
    j->pid = getpid();
    j->slot = NULL;
    j->redoing = false;
    /* The parent may have left before we came, and the journal with it: as if opened anew. */
    struct journal_recovery recovery = { 0 };
    journal_segment_close(&j->append);
    journal_segment_close(&j->read);
    journal_control_detach(j);
    return join(j, &recovery, false);
}

void journal_status(struct journal *j, struct journal_status *status)
{
    uint64_t *starts;
    size_t n;

    memset(status, 0, sizeof(*status));
    status->generation = j->ctl->generation;
    status->instance = j->ctl->instance;
    status->tail = j->ctl->tail;
    status->synced = j->ctl->synced;
    status->checkpoint = j->ctl->checkpoint;
    status->failed = j->ctl->failed;
    for (unsigned i = 0; i < j->ctl->nslots; i++) status->pending += j->ctl->slots[i].start != 0;
    if (!journal_segments(j->dir, &starts, &n)) {
        status->segments = (unsigned)n;
        free(starts);
    }
}
