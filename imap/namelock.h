/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_NAMELOCK_H
#define INCLUDED_NAMELOCK_H
/*
 * namelock -- the named locks of the store, in one order
 *
 * A lock has a name ("*U*alice", a mailbox's uniqueid, "$QUOTACHANGE", ...); its
 * file is lock_path() of mailbox_path.h, locked as a whole with fcntl(2), as the
 * processes of a packaged 3.6.1 do (handbook 01 §7.14, 02 §1.8). The files stay
 * empty and are never removed. Locks belong to the process and end with it.
 *
 * Within a process a lock is counted: asking again for a name that is held in the
 * same or a stronger type adds a reference and gives the same handle.
 *
 * Order. A process that holds locks may wait only for a name that comes after all
 * of them: first by class (enum namelock_class), then bytewise. Two user
 * namespaces are therefore taken in bytewise order of their lock names. Builds with
 * --enable-test-hooks abort() on a violation, others log it. A request with
 * NAMELOCK_NONBLOCK can't wait, so it is free of the order. See doc/locking.md.
 *
 * Whoever gets a lock sees the state after the last committed transaction that
 * held it: when a process died between the commit and the last change of a file,
 * namelock_acquire() redoes the rest first (doc/journal.md, "Dead committers").
 *
 * Returns 0 or an imap_err code; a cause is logged once, where it is known.
 */
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct namelock;

enum namelock_type { NAMELOCK_SHARED, NAMELOCK_EXCLUSIVE };

/* Classes in the order of taking. */
enum namelock_class {
    NAMELOCK_CLASS_JOB,     /* "*S*..." replication of a user, "$XAPIAN$...": held around whole jobs */
    NAMELOCK_CLASS_USER,    /* "*U*...": a user's namespace; "*U*": that of no user */
    NAMELOCK_CLASS_MAILBOX, /* a uniqueid or an internal mailbox name */
    NAMELOCK_CLASS_MISC,    /* "$QUOTACHANGE", "$SUBS_UPGRADE$...", ... */
    NAMELOCK_CLASS_DB,      /* "$DB$...": one database that is not a user's own */
};
enum namelock_class namelock_class_of(const char *name);

#define NAMELOCK_NONBLOCK 1u /* IMAP_MAILBOX_LOCKED instead of waiting */

/*
 * Takes the lock, waiting for whoever holds it (but for NAMELOCK_NONBLOCK), watched and not for ever (lockwatch.h):
 * IMAP_SERVER_UNAVAILABLE, which has been said in the log.
 * *lockp is set on success only. IMAP_MAILBOX_LOCKED: held by this process as
 * shared and wanted exclusive, or busy with NAMELOCK_NONBLOCK. IMAP_IOERROR: the
 * file can't be made or locked, or (exclusive) what a dead process left can't be redone.
 */
int namelock_acquire(const char *name, enum namelock_type type, unsigned flags, struct namelock **lockp);
/* The namespace of a user; userid NULL: "*U*", that of no user. */
int namelock_user(const char *userid, enum namelock_type type, unsigned flags, struct namelock **lockp);
/* Gives one reference back; the last one unlocks. NULL is fine; *lockp becomes NULL. */
void namelock_release(struct namelock **lockp);

/* One reference more. */
struct namelock *namelock_ref(struct namelock *lock);
const char *namelock_name(const struct namelock *lock);
bool namelock_is_exclusive(const struct namelock *lock);
/* The lock if this process holds it (borrowed, no reference), or NULL. */
struct namelock *namelock_held(const char *name);
/* May this process wait for the lock without breaking the order? */
bool namelock_may_wait(const char *name);
/*
 * No lock but those of class job may be held while a peer is waited for: builds with --enable-test-hooks abort(). Around the few
 * places that must, and bound the wait (the last copy of XFER), it is allowed.
 */
void namelock_allow_network(bool allow);
/* How many locks this process holds. */
unsigned namelock_count(void);

/*
 * LSN of the newest commit under this lock, or of a younger one: what is read under the
 * lock is durable once the journal is synced that far (txn_wait). 0: nothing to wait for.
 */
uint64_t namelock_seen_lsn(const struct namelock *lock);
/* The same for the namespace of a user, which need not be locked: for what was read before the call. */
uint64_t namelock_user_lsn(const char *userid);

/*
 * Forgets the locks of the parent in a child after fork(2): they were never its
 * own. Handles made before are void.
 */
void namelock_after_fork(void);

#endif
