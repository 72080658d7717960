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
#include "sync_log.h"
#include "times.h"
#include "txn.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct page {
    _Atomic uint64_t generation; /* of the journal */
    _Atomic uint64_t lsn;        /* the replica has everything up to here */
    _Atomic uint32_t seq;        /* futex: raised with each acknowledgement */
    _Atomic uint32_t late;       /* nobody waits until it has caught up */
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

void sync_ack_tell(struct sync_ack *ack, uint64_t lsn, bool caught_up)
{
    struct page *page = ack->page;
    struct journal_status status;
    uint32_t late = 1;
    struct journal *j;

    if (txn_journal(&j)) return;
    journal_status(j, &status);
    if (page->generation != status.generation) page->lsn = 0;
    page->generation = status.generation;
    if (page->lsn != lsn) {
        page->lsn = lsn;
        wake(page);
    }
    if (caught_up && atomic_compare_exchange_strong(&page->late, &late, 0))
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

static void degrade(struct sync_ack *ack)
{
    uint32_t late = 0;

    if (!atomic_compare_exchange_strong(&ack->page->late, &late, 1)) return;
    syslog(LOG_ALERT,
           "SYNCERROR: the replica of channel <%s> did not acknowledge within %d ms: asynchronous until it has caught up",
           ack->channel, ack->bound);
    wake(ack->page); /* who waits need not wait for his own bound */
}

/* The channel may have been given up (sync_client --forget), and begun anew with a page of its own. */
static void look_again(struct sync_ack *ack)
{
    struct stat st;

    if (!stat(ack->path, &st) && st.st_ino != ack->ino) (void)map_page(ack);
}

static void wait_for(struct sync_ack *ack, struct journal *j, uint64_t lsn)
{
    if (ack->page->late) look_again(ack);

    struct page *page = ack->page;
    unsigned long long until = monotonic_ms() + (unsigned long long)ack->bound;

    while (!page->late) {
        uint32_t seq = page->seq;
        if (has(page, j, lsn) || page->late) return;
        unsigned long long now = monotonic_ms();
        if (now >= until) {
            degrade(ack);
            return;
        }
        struct timespec left = { (time_t)((until - now) / 1000), (long)((until - now) % 1000) * 1000000L };
        syscall(SYS_futex, &page->seq, FUTEX_WAIT, seq, &left, NULL, 0);
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

void sync_wait(void)
{
    static uint64_t waited;
    uint64_t lsn = txn_last_lsn();
    struct journal *j;

    if (lsn == waited) return;
    waited = lsn;
    const ptrarray_t *acks = channels();
    if (!ptrarray_size(acks) || txn_journal(&j)) return;
    for (int i = 0; i < ptrarray_size(acks); i++) wait_for(ptrarray_nth(acks, i), j, lsn);
}
