/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_wait -- synchronous replication: who answers a client waits until the replica has it
 *
 * The page holds two numbers and a futex, which the client of the channel raises with each acknowledgement, so waiting costs
 * no more than the replica does. It is never synced: what a power cut or a copy leaves is of another generation of the
 * journal, or beyond its end, and counts for nothing.
 */
#include <config.h>

#include "sync_wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "ptrarray.h"
#include "strarray.h"
#include "mailbox_path.h"
#include "sync_log.h"
#include "sync_policy.h"
#include "times.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define LOOK_AGAIN 2ULL /* ms, while one of several channels is waited for, and none of them in particular */

struct page {
    _Atomic uint64_t generation; /* of the journal */
    _Atomic uint64_t lsn;        /* the replica has everything up to here */
    _Atomic uint32_t seq;        /* futex: raised with each acknowledgement */
    _Atomic uint32_t late;       /* ms: nobody whose patience is no longer waits until it has caught up; 0: in step */
};

struct sync_ack {
    char *channel; /* "": the one without name */
    int bound;     /* ms */
    char *path;
    ino_t ino; /* of what is mapped */
    struct page *page;
};

int sync_wait_bound(const char *channel)
{
    return config_getchannelint(channel, IMAPOPT_SYNC_WAIT_MS);
}

/* ---- the page ---- */

/* Real bytes, so that a full disk says so here and not by a signal later. */
static int map_page(struct sync_ack *ack)
{
    static const struct page empty;
    struct stat st;
    int r = diskio_mkparents(ack->path, 0755);
    int fd = r ? r : diskio_open(ack->path, O_RDWR | O_CREAT, 0640);

    if (fd < 0) return fd;
    r = diskio_fstat(fd, &st);
    if (!r && st.st_size < (off_t)sizeof(empty)) r = diskio_pwrite(fd, &empty, sizeof(empty), 0);
    void *base = r ? MAP_FAILED : mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!r && base == MAP_FAILED) r = -errno;
    diskio_close(fd);
    if (r) return r;
    if (ack->page) munmap(ack->page, sizeof(*ack->page));
    ack->page = base;
    ack->ino = st.st_ino;
    return 0;
}

static int open_page(const char *channel, struct sync_ack **ackp)
{
    struct sync_ack *ack = xzmalloc(sizeof(*ack));
    struct buf path = BUF_INITIALIZER;

    ack->channel = xstrdup(channel ? channel : "");
    ack->bound = sync_wait_bound(channel);
    sync_log_path(channel, &path);
    buf_truncate(&path, (ssize_t)(buf_len(&path) - strlen("log")));
    buf_appendcstr(&path, "acknowledged");
    ack->path = buf_release(&path);
    int r = map_page(ack);
    if (r) {
        xsyslog_errno(LOG_ERR, -r, "IOERROR: can't use the acknowledgements of a channel", "path=<%s>", ack->path);
        sync_ack_close(&ack);
    }
    *ackp = ack;
    return r ? IMAP_IOERROR : 0;
}

static void wake(struct page *page)
{
    page->seq++;
    syscall(SYS_futex, &page->seq, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* ---- the rolling client ---- */

int sync_ack_open(const char *channel, struct sync_ack **ackp)
{
    int r = open_page(channel, ackp);

    if (!r) (*ackp)->page->lsn = 0;
    return r;
}

void sync_ack_tell(struct sync_ack *ack, uint64_t lsn, bool caught_up, unsigned long long took)
{
    struct page *page = ack->page;
    struct journal_status status;
    struct journal *j;

    if (txn_journal(&j)) return;
    journal_status(j, &status);
    if (page->generation != status.generation) page->lsn = 0;
    page->generation = status.generation;
    if (page->lsn != lsn) {
        page->lsn = lsn;
        wake(page);
    }
    uint32_t late = page->late;
    if (!caught_up || !late || (late < (uint32_t)ack->bound && took >= late)) return;
    if (atomic_compare_exchange_strong(&page->late, &late, 0))
        syslog(LOG_NOTICE, "SYNCNOTICE: the replica of channel <%s> has caught up: synchronous again", ack->channel);
}

void sync_ack_close(struct sync_ack **ackp)
{
    struct sync_ack *ack = *ackp;

    if (!ack) return;
    if (ack->page) munmap(ack->page, sizeof(*ack->page));
    free(ack->path);
    free(ack->channel);
    free(ack);
    *ackp = NULL;
}

/* ---- who waits ---- */

/* The generation first: with the right one, no LSN of another one can be read after it (sync_ack_tell). */
static bool has(const struct page *page, struct journal *j, uint64_t lsn)
{
    struct journal_status status;

    journal_status(j, &status);
    if (page->generation != status.generation) return false;
    uint64_t acknowledged = page->lsn;
    return acknowledged >= lsn && acknowledged <= status.tail;
}

static void degrade(struct sync_ack *ack, uint32_t ms)
{
    uint32_t late = ack->page->late;

    do {
        if (late >= ms) return;
    } while (!atomic_compare_exchange_weak(&ack->page->late, &late, ms));
    syslog(LOG_ALERT, "SYNCERROR: the replica of channel <%s> did not acknowledge within %u ms: asynchronous%s until it has caught up",
           ack->channel, ms, ms < (uint32_t)ack->bound ? " for those who wait no longer" : "");
    wake(ack->page); /* who waits need not wait for his own bound */
}

/* The channel may have been given up (sync_client --forget), and begun anew with a page of its own. */
static void look_again(struct sync_ack *ack)
{
    struct stat st;

    if (!stat(ack->path, &st) && st.st_ino != ack->ino) (void)map_page(ack);
}

/* What is waited for, in which way. */
struct want {
    int need;    /* channels */
    int ms;      /* patience; 0: the bound of each channel */
    bool strict; /* it is no use to wait for fewer */
    struct journal *j;
    uint64_t lsn;
    unsigned long long began;
};

/* Milliseconds until the channel is late; 0: it is, or nobody waits for it. */
static unsigned long long patience(struct sync_ack *ack, const struct want *want)
{
    uint32_t bound = (uint32_t)(want->ms ? want->ms : ack->bound);

    if (ack->page->late >= bound) return 0;
    unsigned long long spent = monotonic_ms() - want->began;
    if (spent < bound) return bound - spent;
    degrade(ack, bound);
    return 0;
}

/* How it stands with the channels; open is one that is still waited for, seq its futex from before it was looked at. */
struct standing {
    int have, waiting;
    unsigned long long ms;
    struct sync_ack *open;
    uint32_t seq;
};

static void look(const ptrarray_t *acks, const struct want *want, struct standing *now)
{
    *now = (struct standing){ .ms = UINT64_MAX };
    for (int i = 0; i < ptrarray_size(acks); i++) {
        struct sync_ack *ack = ptrarray_nth(acks, i);
        uint32_t seq = ack->page->seq;
        if (has(ack->page, want->j, want->lsn)) {
            now->have++;
            continue;
        }
        unsigned long long ms = patience(ack, want);
        if (!ms) continue;
        now->waiting++;
        if (ms < now->ms) now->ms = ms;
        if (now->open) continue;
        now->open = ack;
        now->seq = seq;
    }
}

/* As many channels have it. */
static bool wait_for(const ptrarray_t *acks, const struct want *want)
{
    struct standing now;

    for (int i = 0; i < ptrarray_size(acks); i++) {
        struct sync_ack *ack = ptrarray_nth(acks, i);
        if (ack->page->late) look_again(ack);
    }
    for (;;) {
        look(acks, want, &now);
        if (now.have >= want->need) return true;
        if (!now.waiting || (want->strict && now.have + now.waiting < want->need)) return false;
        if (now.waiting > want->need - now.have) now.ms = cyr_min(now.ms, LOOK_AGAIN); /* any of them will do */
        struct timespec left = { (time_t)(now.ms / 1000), (long)(now.ms % 1000) * 1000000L };
        syscall(SYS_futex, &now.open->page->seq, FUTEX_WAIT, now.seq, &left, NULL, 0);
    }
}

static void add_channel(ptrarray_t *acks, const char *channel)
{
    struct sync_ack *ack;

    if (sync_wait_bound(channel) > 0 && !open_page(channel, &ack)) ptrarray_append(acks, ack);
}

/* As for the text logs: those of sync_log_channels, or the one without name. */
static const ptrarray_t *channels(void)
{
    static ptrarray_t acks = PTRARRAY_INITIALIZER;
    static bool known;

    if (known) return &acks;
    known = true;
    const char *list = config_getstring(IMAPOPT_SYNC_LOG_CHANNELS);
    strarray_t *names = strarray_split(list ? list : "\"\"", NULL, 0);
    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        add_channel(&acks, strcmp(name, "\"\"") ? name : NULL);
    }
    strarray_free(names);
    return &acks;
}

/* ---- policies ---- */

static struct {
    bool watching, strict;
    strarray_t owners; /* whose changes were not waited for yet, as names of locks */
    strarray_t short_; /* of those of the last wait: too few replicas have them */
    uint64_t again;    /* an LSN that is waited for, too */
} waiting;

/* How many channels must have it. */
static int needed(const struct sync_policy *policy, const ptrarray_t *acks)
{
    return policy->n ? policy->n : cyr_max(1, ptrarray_size(acks));
}

static bool refuses(const char *owner)
{
    const ptrarray_t *acks = channels();
    struct sync_policy policy;
    int ready = 0;

    /* a replica has the policies of its users, and nobody to wait for */
    if (ptrarray_size(acks))
        sync_policy_of(owner, &policy);
    else
        sync_policy_default(&policy);
    if (policy.kind != SYNC_POLICY_SYNC) return false;
    for (int i = 0; i < ptrarray_size(acks); i++) {
        struct sync_ack *ack = ptrarray_nth(acks, i);
        if (ack->page->late) look_again(ack);
        ready += ack->page->late < (uint32_t)ack->bound;
    }
    return ready < needed(&policy, acks);
}

static int check(const struct txn *txn)
{
    strarray_t users = STRARRAY_INITIALIZER;
    int r = 0;

    txn_users(txn, &users);
    for (int i = 0; i < strarray_size(&users) && !r; i++) {
        const char *owner = strarray_nth(&users, i);
        strarray_add(&waiting.owners, owner);
        if (!waiting.strict || !refuses(owner)) continue;
        syslog(LOG_NOTICE, "SYNCNOTICE: too few replicas are in step: a change of <%s> is refused", owner);
        r = IMAP_SERVER_UNAVAILABLE;
    }
    strarray_fini(&users);
    return r;
}

void sync_wait_begin(bool changes)
{
    if (!waiting.watching) txn_set_check(check);
    waiting.watching = true;
    waiting.strict = changes;
}

/* As in the name of his lock. */
static char *owner_of(const char *userid)
{
    struct buf name = BUF_INITIALIZER;

    lock_name_user(userid, &name);
    buf_remove(&name, 0, strlen("*U*"));
    return buf_release(&name);
}

bool sync_wait_refuses(const char *userid)
{
    char *owner = owner_of(userid);
    bool refused = refuses(owner);

    free(owner);
    return refused;
}

bool sync_wait_is_short(const char *userid)
{
    char *owner = owner_of(userid);
    bool is_short = strarray_contains(&waiting.short_, owner);

    free(owner);
    return is_short;
}

void sync_wait_again(const char *userid)
{
    struct journal_status status;
    struct journal *j;
    char *owner = owner_of(userid);

    strarray_add(&waiting.owners, owner);
    free(owner);
    if (txn_journal(&j)) return;
    journal_status(j, &status);
    waiting.again = status.synced;
}

static void wait_as(const char *owner, const struct sync_policy *policy, struct journal *j, uint64_t lsn)
{
    const ptrarray_t *acks = channels();
    bool strict = policy->kind == SYNC_POLICY_SYNC && waiting.strict;

    struct want want = { needed(policy, acks), policy->ms, strict, j, lsn, monotonic_ms() };

    if (policy->kind == SYNC_POLICY_ASYNC) return;
    if (!wait_for(acks, &want) && strict) strarray_add(&waiting.short_, owner);
}

bool sync_wait(void)
{
    static uint64_t waited;
    uint64_t lsn = cyr_max(txn_last_lsn(), waiting.again);
    strarray_t owners = waiting.owners;
    struct sync_policy policy = { .kind = SYNC_POLICY_SEMI };
    struct journal *j;

    waiting.owners = (strarray_t)STRARRAY_INITIALIZER;
    strarray_fini(&waiting.short_);
    waiting.again = 0;
    if (lsn != waited && ptrarray_size(channels()) && !txn_journal(&j)) {
        for (int i = 0; i < strarray_size(&owners); i++) {
            sync_policy_of(strarray_nth(&owners, i), &policy);
            wait_as(strarray_nth(&owners, i), &policy, j, lsn);
        }
        if (!waiting.watching) wait_as("", &policy, j, lsn);
    }
    waited = lsn;
    strarray_fini(&owners);
    return !strarray_size(&waiting.short_);
}
