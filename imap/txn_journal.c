/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_journal -- the journal of this process
 *
 * One handle, opened at the first use with the options journal_* below
 * <configdirectory>/journal. fcntl locks belong to the process, so there can't be two.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diskio.h"
#include "exitcodes.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "namelock.h"
#include "sync_log.h"
#include "txn_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

static struct journal *the_journal;
static bool inherited; /* by a child: the handle is the parent's */

/* The caller frees the directory. */
static char *get_config(struct journal_config *config)
{
    char *dir = xasprintf("%s/journal", config_dir ? config_dir : "");
    memset(config, 0, sizeof(*config));
    config->dir = dir;
    config->segment_size = config_getbytesize(IMAPOPT_JOURNAL_SEGMENT_SIZE);
    config->checkpoint_size = config_getbytesize(IMAPOPT_JOURNAL_CHECKPOINT_SIZE);
    config->reader_max = config_getbytesize(IMAPOPT_JOURNAL_READER_MAX);
    config->spill = sync_log_spill;
    return dir;
}

/* One that is not there is not made: it may be on a file system that is not mounted. */
static int check_config_dir(void)
{
    struct stat st;

    if (!config_dir) {
        xsyslog_errno(LOG_ERR, 0, "IOERROR: no configdirectory, so no journal", NULL);
        return -EINVAL;
    }
    int r = diskio_stat(config_dir, &st);
    if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: can't use the configdirectory", "filename=<%s>", config_dir);
    return r;
}

static void in_child(void)
{
    inherited = the_journal != NULL;
}

/* Asked for at each look at a database: a flag, where getpid() would be a system call. */
static void watch_forks(void)
{
    static bool watched;

    if (!watched && pthread_atfork(NULL, NULL, in_child)) fatal("no memory", EX_OSERR);
    watched = true;
    inherited = false;
}

static int open_journal(void)
{
    struct journal_config config;
    int r = check_config_dir();

    if (r) return r;
    char *dir = get_config(&config);
    r = journal_open(&config, &the_journal);
    watch_forks();
    free(dir);
    return r;
}

/* 0 or -errno. */
static int get_journal(struct journal **jp)
{
    int r = 0;
    if (the_journal && inherited) {
        /* A child has none of its parent's locks. */
        txn_forget();
        namelock_after_fork();
        r = journal_after_fork(the_journal);
        inherited = false;
    }
    if (!the_journal) r = open_journal();
    *jp = the_journal;
    return r;
}

int txn_journal(struct journal **jp)
{
    return get_journal(jp) ? IMAP_IOERROR : 0;
}

static void need(int r)
{
    if (!r) return;
    char *text = xasprintf("can't use %s: %s", config_dir ? config_dir : "the configdirectory", strerror(-r));
    fatal(text, EX_TEMPFAIL);
}

void txn_need_config_dir(void)
{
    need(check_config_dir());
}

void txn_need_store(void)
{
    struct journal *j;
    need(get_journal(&j));
}

int txn_recover(struct journal_recovery *recovery)
{
    struct journal_config config;
    int r = check_config_dir();

    if (r) return IMAP_IOERROR;
    char *dir = get_config(&config);
    journal_abandon(&the_journal);
    r = journal_recover(&config, recovery, &the_journal);
    watch_forks();
    free(dir);
    return r ? IMAP_IOERROR : 0;
}

int txn_checkpoint_again(void)
{
    struct journal *j;
    int r = txn_journal(&j);
    if (!r && journal_checkpoint(j, JOURNAL_CHECKPOINT_AGAIN)) r = IMAP_IOERROR;
    return r;
}

int txn_checkpoint(void)
{
    struct journal *j;
    int r = txn_journal(&j);
    if (!r && journal_checkpoint(j, 0)) r = IMAP_IOERROR;
    return r;
}

int txn_wait(uint64_t lsn)
{
    struct journal *j;
    if (!lsn) return 0;
    int r = txn_journal(&j);
    if (!r && !journal_is_synced(j, lsn) && journal_sync(j, lsn)) r = IMAP_IOERROR;
    return r;
}

void txn_shutdown(void)
{
    struct txn *txn = txn_current();
    if (txn) txn_abort(&txn);
    if (the_journal && !inherited)
        journal_close(&the_journal);
    else
        journal_abandon(&the_journal);
}
