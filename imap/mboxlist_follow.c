/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_follow -- a user with many folders has got another name: they follow
 *
 * Some folders a transaction, under the lock of the user, so that others get in between. Each transaction leaves a store in which the
 * rest is still to follow (mboxlist_pending.h), so it can end anywhere, and be gone on with by anybody. Of a folder whose files can't be
 * read the entry follows, and the header when they can.
 */
#include <config.h>

#include "mboxlist_follow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "buf.h"
#include "conversations.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mboxlist_db.h"
#include "mboxlist_pending.h"
#include "mboxlist_racl.h"
#include "mboxname.h"
#include "strarray.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define BATCH 200
#define TRIES 5
#define ROUNDS 3 /* the last one looks what is left */

/* ---- the rename ---- */

/* With fewer a rename is quick enough as it is, and everybody reads what he reads. */
static int least(void)
{
#ifdef ENABLE_TEST_HOOKS
    const char *hook = getenv("CYLINDER_FOLLOW_LEAST");
    if (hook) return (int)strtol(hook, NULL, 10);
#endif
    return 1000;
}

static bool stays_where_it_is(const mbentry_t *entry)
{
    if (entry->mbtype & (MBTYPE_LEGACY_DIRS | MBTYPE_RESERVE | MBTYPE_MOVING | MBTYPE_DELETED)) return false;
    if (mbentry_is_remote(entry, config_servername)) return false;
    return (entry->mbtype & MBTYPE_INTERMEDIATE) || (entry->uniqueid && entry->partition);
}

bool mboxlist_may_follow(const ptrarray_t *entries, struct txn *txn)
{
    struct txn_db *db = NULL;

    if (ptrarray_size(entries) - 1 <= least()) return false;
    for (int i = 0; i < ptrarray_size(entries); i++)
        if (!stays_where_it_is(ptrarray_nth(entries, i))) return false;
    bool may = !mboxlist_db_open(txn, &db) && !mboxlist_racl_ison(db);
    mboxlist_db_close(&db);
    return may;
}

int mboxlist_rename_later(struct txn *txn, const char *oldinbox, const char *newinbox, bool *later)
{
    struct conversations_state *conv = NULL;
    struct mailbox *mailbox = NULL;
    modseq_t modseq = 0;

    int r = mailbox_open_iwl(txn, newinbox, &mailbox);
    if (!r) r = conversations_open_mbox(mailbox, &conv);
    if (r == IMAP_MAILBOX_NOTSUPPORTED) r = 0;
    *later = !r && !conversations_isbyname(conv);
    if (!*later) return r;
    modseq = mailbox_mbentry(mailbox)->foldermodseq;
    return mboxlist_pending_add(txn, oldinbox, newinbox, modseq);
}

/* ---- following ---- */

/* The header is read as if it had followed, and written so. False: it can't be. */
static bool follow_header(struct txn *txn, const char *name)
{
    struct mailbox *mailbox = NULL;

    int r = mailbox_open_iwl(txn, name, &mailbox);
    if (r == IMAP_MAILBOX_NONEXISTENT) return true; /* no files, or gone meanwhile */
    if (!r) r = mailbox_follow_name(mailbox);
    if (r) xsyslog_errno(LOG_ERR, 0, "IOERROR: the header of a renamed mailbox can't follow", "mailbox=<%s> error=<%s>", name,
                         error_message(r));
    return !r;
}

static int follow_names(struct txn *txn, const strarray_t *names)
{
    int r = 0;

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        bool header = follow_header(txn, strarray_nth(names, i));
        r = mboxlist_pending_followed(txn, strarray_nth(names, i), header);
    }
    return r;
}

int mboxlist_follow_batch(const char *inbox, unsigned max, struct buf *after, unsigned *count)
{
    strarray_t names = STRARRAY_INITIALIZER;
    char *user = mboxname_to_userid(inbox);
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, user);
    if (!r) r = mboxlist_pending_next(txn, inbox, max, after, &names);
    *count = (unsigned)strarray_size(&names);
    if (!r) r = follow_names(txn, &names);
    if (!r && !*count) r = mboxlist_pending_end(txn, inbox);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    strarray_fini(&names);
    free(user);
    return r;
}

static int follow(const char *inbox, mboxlist_follow_cb *cb, void *rock)
{
    struct buf after = BUF_INITIALIZER;
    unsigned total = 0, count = 1, tries = 0;
    int r = 0;

    /* what was left behind because something came to life there meanwhile is looked for from the beginning */
    while (count || r == IMAP_AGAIN) {
        if (r == IMAP_AGAIN) buf_reset(&after);
        r = mboxlist_follow_batch(inbox, BATCH, &after, &count);
        if (r && (r != IMAP_AGAIN || ++tries >= TRIES)) break;
        total += r ? 0 : count;
        if (!r && count && cb) cb(inbox, total, rock);
    }
    buf_free(&after);
    if (r)
        xsyslog_errno(LOG_ERR, 0, "IOERROR: folders of a renamed user can't follow", "mailbox=<%s> error=<%s>", inbox, error_message(r));
    else if (total)
        syslog(LOG_NOTICE, "%u folders of %s have followed", total, inbox);
    return r;
}

/* For tests that look at what is there before they do. */
static bool are_held(void)
{
#ifdef ENABLE_TEST_HOOKS
    return getenv("CYLINDER_FOLLOW_HOLD") != NULL;
#else
    return false;
#endif
}

/* When the entries have followed, headers may be left. */
int mboxlist_follow_all(mboxlist_follow_cb *cb, void *rock)
{
    strarray_t inboxes = STRARRAY_INITIALIZER;
    int r = 0;

    if (are_held()) return 0;
    for (int round = 0; round < ROUNDS && !r; round++) {
        strarray_truncate(&inboxes, 0);
        r = mboxlist_pending_users(&inboxes);
        int n = strarray_size(&inboxes);
        for (int i = 0; round < ROUNDS - 1 && i < n && !r; i++) r = follow(strarray_nth(&inboxes, i), cb, rock);
        if (!n) break;
    }
    if (!r && strarray_size(&inboxes)) r = IMAP_AGAIN;
    strarray_fini(&inboxes);
    return r;
}

/* ---- a process of its own ---- */

/* Beside this program (a build tree, or a package somewhere else), or where it was installed. */
static void exec_program(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;

    if (slash) {
        char *beside = xasprintf("%.*s/cyr_user", (int)(slash - self), self);
        execl(beside, "cyr_user", "-C", config_filename, "follow", (char *)NULL);
    }
    execl(SBINDIR "/cyr_user", "cyr_user", "-C", config_filename, "follow", (char *)NULL);
}

/* Nothing of the session that began it: neither its connection nor what it has open. */
static void run_apart(void)
{
    if (fork() || setsid() < 0) _exit(0);
    int null = diskio_open("/dev/null", O_RDWR, 0);
    if (null < 0) _exit(1);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    long limit = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < (limit > 0 && limit < 65536 ? limit : 65536); fd++) close(fd);
    exec_program();
    _exit(1);
}

void mboxlist_follow_start(void)
{
    if (!config_filename || !mboxlist_pending_any(NULL)) return;
    pid_t pid = fork();
    if (!pid) run_apart();
    if (pid > 0) waitpid(pid, NULL, 0);
}
