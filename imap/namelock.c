/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * namelock -- the named locks of the store, in one order
 *
 * See the header and doc/locking.md. A lock is a whole-file fcntl(2) lock on a file of its
 * own. It is opened for each taking and closed at the last giving back, so a lock file
 * that somebody removed is found anew; one process has it open at most once, as fcntl
 * locks demand.
 */
#include <config.h>

#include "namelock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diskio.h"
#include "hash.h"
#include "imap_err.h"
#include "journal.h"
#include "mailbox_path.h"
#include "prot.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct namelock {
    char *name;
    enum namelock_class class;
    int fd;
    bool exclusive;
    unsigned refs;
};

/* All locks of this process by name: fcntl locks are the process's, so this is too. */
static hash_table held = HASH_TABLE_INITIALIZER;

enum namelock_class namelock_class_of(const char *name)
{
    static const struct {
        const char *prefix;
        enum namelock_class class;
    } classes[] = {
        { "*S*", NAMELOCK_CLASS_JOB }, { "$XAPIAN$", NAMELOCK_CLASS_JOB }, { "*U*", NAMELOCK_CLASS_USER },
        { "$DB$", NAMELOCK_CLASS_DB }, { "$", NAMELOCK_CLASS_MISC },
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (!strncmp(name, classes[i].prefix, strlen(classes[i].prefix))) return classes[i].class;
    }
    return NAMELOCK_CLASS_MAILBOX;
}

static bool comes_after(enum namelock_class class, const char *name, const struct namelock *other)
{
    if (class != other->class) return class > other->class;
    return strcmp(name, other->name) > 0;
}

/* Would waiting for this name break the order? Says for which lock that is held. */
static const char *order_violation(const char *name)
{
    enum namelock_class class = namelock_class_of(name);
    size_t pos = 0;
    void *data;

    while (hash_next(&held, &pos, &data)) {
        const struct namelock *other = data;
        if (!comes_after(class, name, other)) return other->name;
    }
    return NULL;
}

static void check_order(const char *name)
{
    const char *other = order_violation(name);
    if (!other) return;
    xsyslog_errno(LOG_CRIT, 0, "IOERROR: locks are taken in the wrong order", "wanted=<%s> held=<%s>", name, other);
#ifdef ENABLE_TEST_HOOKS
    abort();
#endif
}

/* ---- waiting for a peer ---- */

static unsigned allowed; /* how many have said that they must */

void namelock_allow_network(bool allow)
{
    allowed += allow ? 1u : -1u;
}

#ifdef ENABLE_TEST_HOOKS
/* Whoever wants a lock would wait for a peer that may never speak again. Those of class job are made for that. */
static void check_network(void)
{
    size_t pos = 0;
    void *data;

    while (!allowed && hash_next(&held, &pos, &data)) {
        const struct namelock *lock = data;
        if (lock->class == NAMELOCK_CLASS_JOB) continue;
        xsyslog_errno(LOG_CRIT, 0, "IOERROR: a lock is held while the network is waited for", "held=<%s>", lock->name);
        abort();
    }
}
#endif

/* ---- taking ---- */

static int open_lockfile(const char *name, int *fdp)
{
    struct buf path = BUF_INITIALIZER;
    int r = lock_path(name, &path);
    if (r) goto done;

    int fd = diskio_open(buf_cstring(&path), O_RDWR | O_CREAT, 0666);
    if (fd == -ENOENT) {
        fd = diskio_mkparents(buf_cstring(&path), 0755);
        if (!fd) fd = diskio_open(buf_cstring(&path), O_RDWR | O_CREAT, 0666);
    }
    if (fd < 0) {
        xsyslog_errno(LOG_ERR, fd, "IOERROR: can't open lock file", "filename=<%s>", buf_cstring(&path));
        r = IMAP_IOERROR;
    }
    *fdp = fd;
done:
    buf_free(&path);
    return r;
}

/* The lock of the file, and what a dead holder left undone under it. */
static int lock_and_resolve(const char *name, enum namelock_type type, unsigned flags, int fd)
{
    struct journal *j;
    int r = txn_journal(&j);
    if (r) return r;

    r = diskio_lock(fd, type == NAMELOCK_EXCLUSIVE ? DISKIO_LOCK_EXCLUSIVE : DISKIO_LOCK_SHARED,
                    flags & NAMELOCK_NONBLOCK ? DISKIO_LOCK_NONBLOCK : 0);
    if (r == -EWOULDBLOCK) return IMAP_MAILBOX_LOCKED;
    if (r == -ETIMEDOUT) return IMAP_SERVER_UNAVAILABLE;
    if (r) {
        xsyslog_errno(LOG_ERR, r, "IOERROR: can't lock", "name=<%s>", name);
        return IMAP_IOERROR;
    }
    r = journal_resolve(j, name);
    /*
     * What could not be finished (said in the log) stands in the way of changes only. A record that never became
     * durable has changed nothing here; of one that is stuck the operations before the one that failed are done, and
     * their order makes that a state to read (doc/journal.md, "Stuck records").
     */
    if (!r || type != NAMELOCK_EXCLUSIVE) return 0;
    return r == -ETIMEDOUT ? IMAP_SERVER_UNAVAILABLE : IMAP_IOERROR;
}

int namelock_acquire(const char *name, enum namelock_type type, unsigned flags, struct namelock **lockp)
{
    struct namelock *lock = namelock_held(name);
    if (lock) {
        if (type == NAMELOCK_EXCLUSIVE && !lock->exclusive) return IMAP_MAILBOX_LOCKED;
        *lockp = namelock_ref(lock);
        return 0;
    }
    if (!(flags & NAMELOCK_NONBLOCK)) check_order(name);

    int fd = -1;
    int r = open_lockfile(name, &fd);
    if (!r) r = lock_and_resolve(name, type, flags, fd);
    if (r) {
        diskio_close(fd);
        return r;
    }
    lock = xzmalloc(sizeof(*lock));
    lock->name = xstrdup(name);
    lock->class = namelock_class_of(name);
    lock->fd = fd;
    lock->exclusive = type == NAMELOCK_EXCLUSIVE;
    lock->refs = 1;
    hash_insert(name, lock, &held);
#ifdef ENABLE_TEST_HOOKS
    prot_setwaitcheck(check_network);
#endif
    *lockp = lock;
    return 0;
}

int namelock_user(const char *userid, enum namelock_type type, unsigned flags, struct namelock **lockp)
{
    struct buf name = BUF_INITIALIZER;
    lock_name_user(userid, &name);
    int r = namelock_acquire(buf_cstring(&name), type, flags, lockp);
    buf_free(&name);
    return r;
}

static void free_lock(void *data)
{
    struct namelock *lock = data;
    diskio_close(lock->fd); /* unlocks */
    free(lock->name);
    free(lock);
}

void namelock_release(struct namelock **lockp)
{
    struct namelock *lock = *lockp;
    *lockp = NULL;
    if (!lock || --lock->refs) return;
    hash_del(lock->name, &held);
    free_lock(lock);
}

struct namelock *namelock_ref(struct namelock *lock)
{
    lock->refs++;
    return lock;
}

const char *namelock_name(const struct namelock *lock)
{
    return lock->name;
}

bool namelock_is_exclusive(const struct namelock *lock)
{
    return lock->exclusive;
}

struct namelock *namelock_held(const char *name)
{
    return hash_lookup(name, &held);
}

bool namelock_may_wait(const char *name)
{
    return namelock_held(name) || !order_violation(name);
}

unsigned namelock_count(void)
{
    return (unsigned)hash_numrecords(&held);
}

uint64_t namelock_seen_lsn(const struct namelock *lock)
{
    struct journal *j;
    return txn_journal(&j) ? 0 : journal_lock_lsn(j, lock->name);
}

uint64_t namelock_user_lsn(const char *userid)
{
    struct buf name = BUF_INITIALIZER;
    struct journal *j;

    lock_name_user(userid, &name);
    uint64_t lsn = txn_journal(&j) ? 0 : journal_lock_lsn(j, buf_cstring(&name));
    buf_free(&name);
    return lsn;
}

void namelock_after_fork(void)
{
    free_hash_table(&held, free_lock);
}
