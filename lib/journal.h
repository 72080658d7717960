/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_H
#define INCLUDED_JOURNAL_H
/*
 * journal -- what is about to happen, on one record first
 *
 * All processes of a server append to one log, <configdirectory>/journal/, kept in
 * segments. A record holds the redo operations of one transaction, the names of the
 * locks it was made under, and the events it causes. Format, protocol and
 * proofs: doc/journal.md.
 *
 * An LSN is a byte position in the endless log. The LSN of a record, as it is given
 * to callers, is the position just behind it: the record is durable when the log
 * is synced up to that LSN. 0 is no LSN.
 *
 * Stores do not use this header but imap/txn.h. It is for the transaction itself, for
 * programs that run the checkpoint or the recovery, and for readers of events.
 *
 * Functions return 0 or -errno and log a cause once. Of their own meaning:
 *   -EROFS    a sync or a write of the journal has failed: nothing is written until the
 *             server is started anew
 *   -EAGAIN   somebody else is at it (with a try-flag), or hangs
 *   -ETIMEDOUT  who holds a lock hangs; nothing has been done, but for journal_sync, where nobody knows
 *   -ENODATA  a reader's place is gone: events were dropped, look at everything
 *   -EBADMSG  bytes that are not what they must be
 *   -EUCLEAN  recovery can't put the store in order without being told to skip something
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct buf;
struct journal;

/* ---- open and close ---- */

struct journal_reader;
/*
 * Puts what `from` hands out where the reader of that name will find it, durably, so that the log need not be
 * kept for it: 0, 1 when this reader has no such place, or -errno.
 */
typedef int journal_spill(const char *name, struct journal_reader *from);

struct journal_config {
    const char *dir;          /* <configdirectory>/journal; made if missing */
    uint64_t segment_size;    /* bytes after which a new segment begins; 0: 16 MB */
    uint64_t checkpoint_size; /* bytes of journal after which a checkpoint is due; 0: 64 MB */
    uint64_t reader_max;      /* bytes kept for readers that lag behind; 0: 1 GB */
    journal_spill *spill;     /* called for a reader further behind, and for each that lags when the log ends; may be NULL */
};

/*
 * Opens the journal of this process. When nobody has had it open since the machine
 * started, or the last user left it in pieces, the store is recovered first
 * (journal_recover does the same with a choice). -EACCES, -EROFS ...: the directory can't be used.
 * One handle per directory and process.
 */
int journal_open(const struct journal_config *config, struct journal **jp);
/*
 * Gives it back. When no other process has it open, everything is applied and nothing
 * failed: checkpoint, after which the journal is empty and the store is plain
 * Cyrus. The handle is gone whatever is returned; NULL is fine.
 */
int journal_close(struct journal **jp);
/* Gives it back and leaves the rest to others (a child after fork, a crash test). */
void journal_abandon(struct journal **jp);
/*
 * To be called in a child after fork(2) before it uses the handle: locks are not inherited.
 */
int journal_after_fork(struct journal *j);

struct journal_status {
    uint64_t generation;     /* changes with every recovery */
    uint64_t instance;       /* another one, at random, each time when the first process opens it; not 0 */
    uint64_t tail;           /* LSN behind the last record */
    uint64_t synced;         /* durable up to here */
    uint64_t checkpoint;     /* all before is in the files themselves */
    unsigned pending;        /* records appended and not yet applied */
    bool failed;             /* read-only until the next start */
    unsigned segments;       /* files */
};
void journal_status(struct journal *j, struct journal_status *status);
/*
 * Did this journal, in the life with that number (status.instance), reach that LSN? False also when it is not known any more, and
 * of what was before a backup was restored, or the power failed, and is not in the log: who has noted something there must not believe it.
 */
bool journal_has_passed(struct journal *j, uint64_t instance, uint64_t lsn);
/* True after a failed sync: the server is read-only. */
bool journal_failed(const struct journal *j);

/* ---- durability ---- */

/* Waits until the log is durable up to lsn. One process syncs for all that wait. */
int journal_sync(struct journal *j, uint64_t lsn);
/* Is it? Costs nothing. */
bool journal_is_synced(const struct journal *j, uint64_t lsn);

/* ---- locks that records are made under (namelock.c) ---- */

/*
 * To be called by whoever has just got the lock of that name, before it looks at what
 * the lock protects: finishes what a dead process has committed under it. Costs
 * nothing while no commit is on its way.
 */
int journal_resolve(struct journal *j, const char *lockname);
/* LSN of the newest record made under that lock, or of a younger one. */
uint64_t journal_lock_lsn(const struct journal *j, const char *lockname);

/* ---- checkpoint and recovery ---- */

#define JOURNAL_CHECKPOINT_TRY 1u    /* -EAGAIN when another process is at it */
#define JOURNAL_CHECKPOINT_IF_DUE 2u /* only when the log has grown by checkpoint_size */
#define JOURNAL_CHECKPOINT_AGAIN 4u /* also what the last one may have left: names to be removed */
/*
 * Makes everything committed durable in the files themselves, removes lazily removed
 * files, and drops segments that no reader needs. Commits go on meanwhile, but for moments.
 * -EAGAIN: also when a commit does not end, or a file system does not answer; the log is kept, and grows, which is said.
 */
int journal_checkpoint(struct journal *j, unsigned flags);

/* One event of a transaction. */
#define JOURNAL_EVENT_SUPPRESSED 1u /* for channels that can't be suppressed only */
struct journal_event {
    const char *line; /* a sync log line without its LF (handbook 01 §7.11) */
    unsigned flags;   /* JOURNAL_EVENT_* */
    uint64_t lsn;     /* of its record */
    time_t time;      /* of its transaction, UTC seconds */
};
typedef void journal_event_cb(const struct journal_event *event, void *rock);

struct journal_recovery {
    /* in */
    bool force;                /* skip operations whose directory is gone (else -EUCLEAN); they are logged */
    journal_event_cb *event;   /* called for every event of the records redone; may be NULL */
    void *rock;
    /* out */
    bool live;                 /* others have it open: only what dead processes left was finished */
    unsigned records, ops;     /* redone */
    unsigned skipped;          /* operations that could not be redone and were skipped */
    unsigned databases;        /* cut back to their last durable state */
    uint64_t checkpoint, tail; /* the range redone */
};
/*
 * Puts the store in order after a crash, and opens it as journal_open does. Safe at any
 * time and any number of times: while other processes have the journal open it only
 * finishes what dead ones left. `recovery` may be NULL.
 */
int journal_recover(const struct journal_config *config, struct journal_recovery *recovery, struct journal **jp);

/* ---- readers: the events of all transactions, in order ---- */
/*
 * A reader by name (letters, digits, '-', '_'). Its place is kept in the journal's
 * directory; a new reader begins with the next event to come. Segments that it has not
 * read are kept, up to reader_max bytes. What was spilled meanwhile (journal_spill) is not handed out.
 */
int journal_reader_open(struct journal *j, const char *name, struct journal_reader **readerp);
/* To look at what a reader has not read yet, without moving its place. -ENOENT: there is no such reader. */
int journal_reader_peek(struct journal *j, const char *name, struct journal_reader **readerp);
/* Is there one of that name? Costs one system call. */
bool journal_reader_exists(struct journal *j, const char *name);
bool journal_reader_goodname(const char *name);
/*
 * The next durable event: 0 with *event (borrowed until the next call), 1 when there
 * is none now, -ENODATA when events before the next one were dropped (said once).
 */
int journal_reader_next(struct journal_reader *reader, struct journal_event *event);
/* Are there more events of the record that the last one was of? */
bool journal_reader_midrecord(const struct journal_reader *reader);
/* Remembers that all events handed out so far are dealt with; after a crash they may come again. */
int journal_reader_commit(struct journal_reader *reader);
/* Waits at most so long for journal_reader_next to have something; 0, or -ETIMEDOUT. */
int journal_reader_wait(struct journal_reader *reader, int timeout_ms);
/* LSN up to which the reader has committed. */
uint64_t journal_reader_lsn(const struct journal_reader *reader);
/* Closes; the place stays. */
void journal_reader_close(struct journal_reader **readerp);
/*
 * Forgets the place of a reader that is not coming back, durably: from the next checkpoint on it keeps no segments. Waits for a
 * checkpoint that is under way, which might else make the place anew after having spilled. Nobody may have the reader open.
 */
int journal_reader_remove(struct journal *j, const char *name);

#endif
