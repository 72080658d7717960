/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TXN_H
#define INCLUDED_TXN_H
/*
 * txn -- one unit of work over several stores: all of it happens, or nothing
 *
 * A store changes nothing on disk while a transaction runs. It stages: file
 * operations, changes of key-value databases, events. txn_commit() writes all of it
 * as one record of the journal, syncs the journal (one sync shared by everyone
 * who commits at that moment), applies the record to the files without any
 * sync, and gives the locks back. When it returns 0 no power cut can take the
 * transaction back. When the process dies on the way, either nothing happened, or
 * whoever takes one of the locks next finishes it. doc/journal.md has the proofs.
 *
 *     struct txn *txn;
 *     int r = txn_begin(&txn);
 *     if (!r) r = txn_lock_user(txn, "alice");
 *     if (!r) r = mailbox_open_iwl(txn, "user.alice", &mailbox);   ... stage ...
 *     if (!r) r = txn_commit(&txn, NULL);
 *     if (r) txn_abort(&txn);                 (NULL after a commit: no-op)
 *
 * Rules
 * - At most one transaction is open in a process. Nothing waits for the network
 *   while it is.
 * - A file may be staged only under a lock that this transaction holds
 *   exclusively and that everyone takes who touches the file: the namespace lock
 *   of the user it belongs to ("*U*" for shared mailboxes). Databases without a
 *   user (TXN_DB_GLOBAL) have a lock of their own, which commit takes.
 * - Locks stay until the commit or abort ends.
 * - Operations are applied in the order of staging, hooks' operations included;
 *   changes of databases after the file operations (but txn_link, txn_rename and
 *   txn_unlink of a database file, and changes of it, must not meet in one transaction).
 * - Staged file operations are not seen by reading the file; a store remembers what it
 *   staged. Staged changes of databases are seen through the same txn.
 * - Paths are absolute. Bytes, keys and values are copied.
 *
 * Returns 0 or an imap_err code; a cause is logged once, where it is known:
 * IMAP_IOERROR disk or journal, IMAP_AGAIN see txn_lock_user, IMAP_INTERNAL
 * misuse. After the journal's sync has failed once the server is read-only until it is
 * started anew: txn_begin() and txn_commit() return IMAP_IOERROR.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "strarray.h"

struct buf;
struct namelock;
struct txn;

/* ---- life ---- */

/* Opens the journal at the first use in a process (and recovers the store if nobody did). */
int txn_begin(struct txn **txnp);
/*
 * Runs the commit hooks, writes, syncs, applies, unlocks; *txnp becomes NULL when
 * it returns 0. *lsnp (may be NULL) gets the LSN, 0 if nothing was staged. On an error
 * the transaction is still there and must be aborted. An error after the record is
 * durable (a file can't be written: logged) is IMAP_IOERROR too: the change will be
 * finished by the next who takes the locks, so the client must be told that
 * the outcome is unknown, not that it failed for good.
 */
int txn_commit(struct txn **txnp, uint64_t *lsnp);
/*
 * Asked before a record of changes is written, with all locks held and all hooks run: another code than 0 is that of the commit, and
 * nothing has happened. For who must refuse what could not be made as safe as its user is promised (sync_wait.h).
 */
typedef int txn_check_fn(const struct txn *txn);
void txn_set_check(txn_check_fn *fn);
/* Users whose namespaces it holds exclusively, as the names of their locks have them; "": that of no user. Appended. */
void txn_users(const struct txn *txn, strarray_t *users);
/* Forgets everything, removes staged files, unlocks; *txnp becomes NULL. NULL is fine. */
void txn_abort(struct txn **txnp);
/* The open transaction of this process, or NULL. */
struct txn *txn_current(void);
/*
 * Waits until the journal is durable up to lsn; at once if it is. For LSNs of
 * views (mailbox_seen_lsn, txn_db_seen_lsn): nobody is told what a power cut could take back.
 */
int txn_wait(uint64_t lsn);
/* LSN of the last commit of this process; 0: none. */
uint64_t txn_last_lsn(void);
/*
 * Time of the transaction, UTC seconds: that of its beginning. All stores use it,
 * so one transaction has one time.
 */
time_t txn_time(const struct txn *txn);

/* ---- locks (order: namelock.h, doc/locking.md) ---- */

/*
 * Takes a namespace lock exclusively; userid NULL: the namespace of no user. Held already: a
 * no-op. When a lock that comes later in the order is already held and this one is
 * busy: IMAP_AGAIN, the caller aborts and starts again, taking all locks
 * first with txn_lock_users.
 */
int txn_lock_user(struct txn *txn, const char *userid);
/* All of them in the right order; NULL strings stand for the namespace of no user. */
int txn_lock_users(struct txn *txn, const strarray_t *userids);
/*
 * In a session of a client: asked of each user whose lock a transaction takes, when it has it; not 0: the result, and the transaction is to be
 * aborted. So nothing changes here of who has gone meanwhile, however long the lock was waited for. NULL: nobody is asked.
 */
typedef int txn_gate(const char *userid, void *rock);
void txn_set_gate(txn_gate *gate, void *rock);
/* Any other lock by name, the same way. */
int txn_lock_name(struct txn *txn, const char *lockname, bool exclusive);
/* Nothing of this user is changed by txn, which only wants to have his namespace as it is: the gate is not asked. */
void txn_only_reads(struct txn *txn, const char *userid);
/* Does this transaction hold it exclusively? */
bool txn_holds(const struct txn *txn, const char *lockname);
/* The namespace lock of that user (NULL: of no user)? */
bool txn_holds_user(const struct txn *txn, const char *userid);

/* ---- file operations ---- */

/* Bytes at an offset of an existing file (or one created in this transaction). */
void txn_pwrite(struct txn *txn, const char *path, uint64_t off, const void *base, size_t len);
void txn_truncate(struct txn *txn, const char *path, uint64_t len);
/*
 * The file as a whole, new or in place of an old one (written as path.NEW and
 * renamed, so a reader that has the old one open keeps it). Parents must exist.
 */
void txn_replace(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode);
/*
 * The same, but a small file that is there keeps its inode: for many of them at once, since a new inode for each costs ten
 * times as much. Only for what is read under the lock that covers it, and never mapped for longer.
 */
void txn_rewrite(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode);
/* A new file; mtime 0: now. A file of that name that a crash or an older state left is replaced. */
void txn_create(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode, time_t mtime);
/* A hard link `to` beside `from` (same file system); whatever was at `to` is replaced. */
void txn_link(struct txn *txn, const char *from, const char *to);
/*
 * A file changes its place: its bytes as they are now (under the lock) are copied to the
 * stage below `root` (see txn_stage), sharing blocks where the file system can; the
 * copy gets the name `to`, `from` is removed. For index, cache and databases of a mailbox or user
 * that moves. Message files, which never change, are moved by txn_link and txn_unlink_lazy.
 * doc/journal.md, "Why names are not moved".
 */
int txn_move(struct txn *txn, const char *root, const char *from, const char *to);
/* Removes the name when this is applied. For files about which it matters whether they are there. */
/* path becomes a symbolic link to target, which is not looked at. */
void txn_symlink(struct txn *txn, const char *target, const char *path);
void txn_unlink(struct txn *txn, const char *path);
/*
 * Removes the name at the next checkpoint, unless a later transaction made it anew.
 * For message files: a link to it can be redone until then. Whoever reads a directory of
 * messages instead of the index (reconstruct) runs a checkpoint first.
 */
void txn_unlink_lazy(struct txn *txn, const char *path);
/* With all parents; there already: fine. */
void txn_mkdir(struct txn *txn, const char *path, mode_t mode);
/* At the next checkpoint, if it is empty then and no later transaction made it anew. */
void txn_rmdir(struct txn *txn, const char *path);
void txn_utime(struct txn *txn, const char *path, time_t mtime);

/* ---- large files: written before the commit ----
 * Up to journal_inline_size bytes travel in the journal; more are written to
 * <root>/stage./, synced, and get their name by a rename that the journal knows. */
struct txn_staged;
/*
 * Stages bytes for files below `root` (a partition or the configuration directory:
 * one file system). base is borrowed until the commit or abort ends when it fits
 * inline, and not kept otherwise. mtime 0: now. The handle belongs to txn.
 */
int txn_stage(struct txn *txn, const char *root, const void *base, size_t len, mode_t mode, time_t mtime,
              struct txn_staged **stagedp);
/* The same from an open file: all its bytes. Always written to the stage. */
int txn_stage_fd(struct txn *txn, const char *root, int fd, mode_t mode, time_t mtime, struct txn_staged **stagedp);
/*
 * A writable file in the stage, for a store that builds a large file piece by piece (a repacked
 * index, a rebuilt database). *fdp stays open until the commit or abort; txn syncs it.
 */
int txn_stage_file(struct txn *txn, const char *root, mode_t mode, int *fdp, struct txn_staged **stagedp);
/* Makes a txn_stage_file durable now, for who would do without it if there is no room. */
int txn_staged_sync(struct txn_staged *staged);
/* Where the bytes are now: the path in the stage, or NULL when they travel inline. */
const char *txn_staged_path(const struct txn_staged *staged);
/*
 * Gives the staged bytes a name; what was there is replaced. May be called again
 * for further names: they become hard links of the first.
 */
void txn_place(struct txn *txn, struct txn_staged *staged, const char *path);

/* ---- key-value databases (lib/cyrusdb.h) ----
 * One handle per path and transaction (or, with txn NULL, per process for
 * reading). Files stay open in the process between transactions. */
struct txn_db;
#define TXN_DB_CREATE 1u /* make it at commit if it is missing; without it a missing file reads as empty and a store fails */
#define TXN_DB_GLOBAL 2u /* no user's lock covers it: has a lock of its own, taken briefly at commit (mailboxes.db, quotas.db, ...) */
#define TXN_DB_CONVERT 4u /* a file of another backend is read as it is, and converted at commit */
#define TXN_DB_COVERED 8u /* of a user whose lock this transaction holds exclusively: no lock, no stat per read */
#define TXN_DB_RMW 16u    /* a global one that a hook of TXN_ORDER_GLOBAL or later reads before it changes it */
#define TXN_DB_DERIVED 32u /* what it says can be done without: when a change meets damage the file becomes PATH.damaged, and is begun anew */
/*
 * txn NULL: for reading what is committed. backend is a name of handbook 01 §1.2.
 * IMAP_MAILBOX_BADFORMAT: not a database, or a damaged one (logged). The handle
 * belongs to txn; one opened with txn NULL is given back with txn_db_close.
 */
int txn_db_open(struct txn *txn, const char *backend, const char *path, unsigned flags, struct txn_db **dbp);
/* For handles opened with txn NULL; for others a no-op that sets *dbp to NULL. */
void txn_db_close(struct txn_db **dbp);
/* One in memory alone, empty at first, of no transaction, in the order of that backend. It is given back with txn_db_close. */
struct txn_db *txn_db_scratch(const char *backend);
/*
 * Exact key. IMAP_NOTFOUND. *data stays valid until the next call on this database (a
 * staged value: until it is changed). data may be NULL to ask only whether it is there.
 */
int txn_db_fetch(struct txn_db *db, const char *key, size_t keylen, const char **data, size_t *datalen);
/*
 * The same of what the file has now, staged changes aside: for hooks of TXN_ORDER_GLOBAL and later, to see what other
 * users have committed since something was staged.
 */
int txn_db_fetch_committed(struct txn_db *db, const char *key, size_t keylen, const char **data, size_t *datalen);
typedef int txn_db_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen);
/*
 * All keys that begin with prefix, in the order of the database; staged changes are seen, also
 * those the callback makes ahead of its place. The callback's non-zero return stops and is returned.
 * It may use other databases and this one. Key and data are valid during the callback only.
 */
int txn_db_foreach(struct txn_db *db, const char *prefix, size_t prefixlen, txn_db_cb *cb, void *rock);
/* First key after `key` (keylen 0: the first of all); IMAP_NOTFOUND at the end. As txn_db_fetch. */
int txn_db_fetchnext(struct txn_db *db, const char *key, size_t keylen, const char **foundkey, size_t *foundkeylen,
                     const char **data, size_t *datalen);
/* Sets the value, which may be empty. */
int txn_db_store(struct txn_db *db, const char *key, size_t keylen, const char *data, size_t datalen);
/* A key that is not there is fine. */
int txn_db_delete(struct txn_db *db, const char *key, size_t keylen);
/*
 * The file of a database of a user goes, with all that this transaction has staged for it so far;
 * nothing may be staged for it afterwards. For commit hooks of TXN_ORDER_MBOXLIST and later.
 */
void txn_db_remove(struct txn *txn, const char *path);
/*
 * Read, change, write of a TXN_DB_GLOBAL database is safe only from hooks of TXN_ORDER_GLOBAL and
 * later: before them commit takes the locks of all global databases for which something is staged by then, or
 * which were opened with TXN_DB_RMW. With backend quotalegacy, one file a key, each key has its own lock: such a hook calls
 * this for every key before it reads it, keys in rising byte order (for others it is a no-op).
 */
int txn_db_lock_key(struct txn_db *db, const char *key, size_t keylen);
/* Does this transaction hold the lock of the database? */
bool txn_db_is_locked(const struct txn_db *db);
/* Has this transaction staged something for it? */
bool txn_db_has_changes(const struct txn_db *db);

/* ---- the seal of a global database with derived records (lib/journal_seal.h; there is one in a store) ---- */
/*
 * Is the file as it is now one whose derived records were found right by these rules, or which was changed since only by
 * transactions that kept them so? Staged changes aside.
 */
bool txn_db_is_sealed(struct txn_db *db, uint64_t rules);
/*
 * Between the two the caller, a hook of TXN_ORDER_GLOBAL or later, looks at the derived records as they are committed.
 * txn_db_seal says that they were right: of the file as it was at txn_db_seal_begin.
 */
struct cyrusdb_state;
int txn_db_seal_begin(struct txn_db *db, struct cyrusdb_state *state);
void txn_db_seal(struct txn_db *db, const struct cyrusdb_state *state, uint64_t rules);
/* What this transaction changes keeps them right by these rules: likewise. Without it the commit breaks the seal. */
void txn_db_keep_seal(struct txn_db *db, uint64_t rules);

/* Of a database opened with TXN_DB_GLOBAL: wait for it before telling what was read. 0: nothing to wait for. */
uint64_t txn_db_seen_lsn(const struct txn_db *db);
const char *txn_db_path(const struct txn_db *db);

/* ---- events ---- */
/*
 * One event in the form of a sync log line without its LF ("MAILBOX user.alice", handbook
 * 01 §7.11), quoted as there. Equal lines of one transaction are kept once. It
 * travels in the same record as the change, so it can't be lost. flags are those of
 * lib/journal.h: JOURNAL_EVENT_SUPPRESSED is for unsuppressable channels only.
 */
void txn_event(struct txn *txn, const char *line, unsigned flags);

/* ---- hooks ---- */
/*
 * Order of the commit hooks: smaller first, equal ones as they were
 * registered. A hook may stage, and register hooks that are not yet due. Its
 * error ends the commit. What is staged per message is folded here, once per transaction.
 */
enum txn_order {
    TXN_ORDER_CONVERSATIONS = 10, /* threads, GUIDs, per-folder counts */
    TXN_ORDER_ANNOTATIONS = 20,   /* cyrus.annotations of mailboxes */
    TXN_ORDER_MAILBOX = 30,       /* index, cache and header files; tells quota its difference */
    TXN_ORDER_SEEN = 40,          /* seen state of other users */
    TXN_ORDER_COUNTERS = 50,      /* modseq and uidvalidity counters */
    TXN_ORDER_MBOXLIST = 60,
    TXN_ORDER_GLOBAL = 100,       /* from here on the global databases that change are locked */
    TXN_ORDER_DUPLICATE = 110,
    TXN_ORDER_QUOTA = 120,
    TXN_ORDER_EVENTS = 200,
};
typedef int txn_hook_fn(struct txn *txn, void *rock);
void txn_on_commit(struct txn *txn, int order, txn_hook_fn *fn, void *rock);
/*
 * Called when the transaction is over, its locks given back: lsn <> 0: committed and durable (tell
 * idlers, write the text sync log); 0: aborted, or nothing was to be written. Frees what the store
 * keeps. In the order of registration.
 */
typedef void txn_done_fn(uint64_t lsn, void *rock);
void txn_on_done(struct txn *txn, txn_done_fn *fn, void *rock);
/*
 * The events of the transaction that is just over, for callbacks of txn_on_done; NULL behind
 * the last: valid until the last callback has run.
 */
struct journal_event;
const struct journal_event *txn_done_event(size_t i);

/*
 * What a store keeps with the transaction, by key ("mailbox/UNIQUEID", "quota", ...). Set
 * once; `done` (may be NULL) frees it when the transaction is over.
 */
void txn_attach(struct txn *txn, const char *key, void *data, void (*done)(void *data));
void *txn_attached(const struct txn *txn, const char *key);

/* ---- the journal under it (programs) ---- */
struct journal;
/* The journal of this process, opened at the first use; *jp is borrowed. */
int txn_journal(struct journal **jp);
/* For a tool, at its start: one that can't use the store ends with 75 and says why. */
void txn_need_store(void);
void txn_need_config_dir(void); /* the same, of one that may find the journal in disorder */
/*
 * Puts the store in order after a crash (ctl_cyrusdb -r), see journal_recover. While other processes
 * work it only finishes what dead ones left.
 */
struct journal_recovery;
int txn_recover(struct journal_recovery *recovery);
/* A checkpoint now (ctl_cyrusdb -c). Not inside a transaction. */
int txn_checkpoint(void);
/* The same, and no name is left that was to go before (for whoever reads a directory of messages): the last checkpoint may have been cut.
 * Also inside a transaction. */
int txn_checkpoint_again(void);
/*
 * For programs before they exit: gives the journal back, and when nobody else has
 * it open and no failure is known, makes the store plain (checkpoint, empty journal).
 */
void txn_shutdown(void);

#endif
