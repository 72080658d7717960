/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_INT_H
#define INCLUDED_JOURNAL_INT_H
/*
 * journal_int -- what the journal*.c files share
 *
 * The control page is memory that all processes of a server share through a mapped
 * file. It is not durable and never read after a crash of the machine: its boot id, or its
 * inode, is another one then, and recovery builds it anew. A process that dies leaves it as
 * it was, so each step that changes it must leave a state that others can go on from.
 * Fields are native; only this machine, since this boot, looks at them.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "diskio.h"
#include "journal.h"
#include "journal_record.h"

/* ---- byte locks in <dir>/lock, in the order of taking ---- */
enum journal_byte {
    JLOCK_OPEN,       /* shared: has the journal open; exclusive: recovers, or closes as the last */
    JLOCK_CHECKPOINT, /* one checkpoint at a time */
    JLOCK_GATE,       /* held by a checkpoint that waits for JLOCK_APPLY, so that no new committer passes */
    JLOCK_APPLY,      /* not this byte, but one a process: journal_applying */
    JLOCK_REDO,       /* one finishes what dead processes left */
    JLOCK_APPEND,     /* writes at the tail */
    JLOCK_SYNC,       /* syncs */
    JLOCK_APART,      /* a child that syncs other file systems than the journal's (journal_apart.c) */
};
/* Byte JLOCK_APPLYING + pid is locked, shared, while a commit of that process is on its way. */
#define JLOCK_APPLYING (UINT64_C(1) << 32)
#define JLOCK_APPLYING_LEN (UINT64_C(1) << 32)

/* ---- the control page ---- */
#define JOURNAL_SLOTS 1024u /* as many processes may be within a commit: the more, the slower the disk; each has them in its memory */
#define JOURNAL_SLOT_LOCKS 12u
#define JOURNAL_LOCK_LSNS 4096u /* a power of two */
#define JOURNAL_ANNOUNCED 64u
#define JOURNAL_REMOVING 256u

/* A record that is appended (or about to be) and not yet applied as a whole. */
struct journal_slot {
    _Atomic uint64_t start; /* LSN of its first byte; 0: the slot is free */
    _Atomic uint64_t end;
    _Atomic uint32_t done;  /* bit i: what locks[i] protects has been applied */
    _Atomic uint32_t pid;    /* whose commit it is; 0: it has ended, and could not be applied */
    _Atomic uint32_t nlocks; /* names below; more than JOURNAL_SLOT_LOCKS: look into the record */
    _Atomic uint64_t locks[JOURNAL_SLOT_LOCKS]; /* hashes of the names */
};

/* In this window of the log the database has been announced with this generation. */
struct journal_announced {
    _Atomic uint64_t hash;
    _Atomic uint64_t generation;
    _Atomic uint64_t lsn;
};

struct journal_control {
    char magic[8];
    uint32_t size;
    _Atomic uint32_t live; /* 0 while recovery builds it, and when its last user has begun to remove what it tells of */
    uint64_t dev, ino;     /* of the file itself: a copy of it is not it */
    char boot_id[40];
    uint64_t generation;
    uint64_t instance;     /* of this page: nobody can know it in advance */
    _Atomic uint32_t failed;
    _Atomic uint32_t sync_seq; /* futex: raised after each sync */
    _Atomic uint32_t appending; /* a writer is, or died, between its claim of the tail and moving it */
    _Atomic uint32_t pending;   /* slots in use, at least */
    _Atomic uint32_t nslots;    /* those behind have never been used */
    _Atomic uint64_t tail;
    _Atomic uint64_t segment;  /* start of the last segment */
    _Atomic uint64_t prepared; /* the last segment is written (with zeros) up to here */
    _Atomic uint64_t synced;
    _Atomic uint64_t checkpoint; /* all before is in the files, durable */
    _Atomic uint64_t window;     /* the checkpoint to come, or the same: databases announced before don't count */
    _Atomic uint64_t hung, hung_at; /* a commit that does not end: start of its slot, and when it was in a checkpoint's way */
    _Atomic uint64_t gave_up;    /* when the last checkpoint gave up (seconds, CLOCK_BOOTTIME); 0: it did not */
    _Atomic uint32_t patience;   /* how long the next one waits for other file systems: seconds more */
    _Atomic uint64_t told;       /* tail when it was last said that the log grows without a checkpoint */
    _Atomic uint32_t nremoving;  /* names that a checkpoint is about to remove, by their hashes: who makes one anew waits */
    _Atomic uint64_t removing[JOURNAL_REMOVING];
    _Atomic uint64_t seal, seal_rules; /* journal_seal.h; 0: broken, or none */
    _Atomic uint32_t renames;          /* journal_renames.h */
    _Atomic uint64_t lock_lsn[JOURNAL_LOCK_LSNS]; /* by hash of the name: LSN of the newest record */
    struct journal_announced announced[JOURNAL_ANNOUNCED];
    struct journal_slot slots[JOURNAL_SLOTS];
};

/* ---- the handle ---- */
struct journal_segment {
    uint64_t start; /* also its name */
    int fd;         /* -1: not open */
};

struct journal {
    char *dir;
    uint64_t segment_size, checkpoint_size, reader_max;
    journal_spill *spill;
    int lockfd;
    pid_t pid; /* whose locks these are */
    struct journal_control *ctl;
    struct journal_segment append, read; /* segment written to, segment read last */
    struct journal_slot *slot;           /* of the commit on its way in this process */
    bool redoing;                        /* holds JLOCK_REDO: its own look-ups need not resolve */
};

/* journal_control.c */
/* A wait is watched (lockwatch.h) and bounded, but for JLOCK_OPEN: -ETIMEDOUT, which has been said. */
int journal_bytelock(struct journal *j, enum journal_byte byte, enum diskio_lock type, unsigned flags);
void journal_byteunlock(struct journal *j, enum journal_byte byte);
/* A commit of this process begins, and is over. */
int journal_applying(struct journal *j);
void journal_applied(struct journal *j);
/* Is one of that process on its way? Not told of this one. */
bool journal_is_applying(const struct journal *j, uint32_t pid);
/* None is on its way, until journal_allow_applying; -ETIMEDOUT after so many seconds. With JLOCK_GATE. */
int journal_stop_applying(struct journal *j, unsigned seconds);
void journal_allow_applying(struct journal *j);
/* "dir/name" in a static buffer of the handle's life: valid until the next call. */
const char *journal_path(const struct journal *j, const char *name);
/* Maps the control file if it is a live one of this boot: 0, or -ENOENT when recovery is needed. */
int journal_control_attach(struct journal *j);
/* Makes a new one, live, with an empty window at `lsn`. Only under JLOCK_OPEN exclusive. */
/* A life begins there; an error costs what has been noted in earlier ones (journal_has_passed). */
void journal_lives_add(struct journal *j, uint64_t instance, uint64_t lsn);
int journal_control_build(struct journal *j, uint64_t lsn, uint64_t generation);
void journal_control_detach(struct journal *j);
/* Hash of a lock name or path, the same in every process. Never 0. */
uint64_t journal_hash(const char *name);
/* Read-only from now on: the flag, and one loud line. Returns -EROFS. */
int journal_fail(struct journal *j, const char *what, int error);

/* journal_log.c */
/* Starts of the segments, rising; free with free(). */
int journal_segments(const char *dir, uint64_t **starts, size_t *n);
/* Path of a segment, as journal_path. */
const char *journal_segment_path(const struct journal *j, uint64_t start);
/* Makes the first segment at lsn, durable. */
int journal_segment_create(struct journal *j, uint64_t lsn);
void journal_segment_close(struct journal_segment *segment);
/*
 * Appends a sealed record; *startp and *endp get its place. The locks of the record are
 * entered in a slot (j->slot) before; -EBUSY: no slot is free.
 */
int journal_log_append(struct journal *j, struct journal_record *rec, uint64_t *startp, uint64_t *endp);
/*
 * Reads the record that begins at lsn into buf: 0, or 1 when no whole record of that
 * generation (0: any) is there.
 */
int journal_log_read(struct journal *j, uint64_t lsn, uint64_t generation, struct buf *buf);
/*
 * Is there, behind the end of the log at `tail`, a record that says that the log was durable beyond
 * it? Then bytes that had been synced are damaged. 1: yes, 0: no, or -errno.
 */
int journal_log_isdamaged(struct journal *j, uint64_t tail, uint64_t generation);

/* Settles what a dead writer left at the tail. */
int journal_tail_settle(struct journal *j);

/* journal_slot.c */
/* A free slot, filled from the record's locks, for the bytes [start, end); NULL: none is free. */
struct journal_slot *journal_slot_claim(struct journal *j, const struct journal_view *view, uint64_t start,
                                        uint64_t end);
void journal_slot_free(struct journal *j, struct journal_slot *slot);
/* Frees slots of records that were never written: those that begin at or behind the tail. */
void journal_slots_void(struct journal *j, uint64_t tail);
/* Finishes all records that nobody works on any more. Only while journal_stop_applying holds. */
int journal_resolve_all(struct journal *j);
/* Those whose process is in no commit; at any time. */
int journal_resolve_orphans(struct journal *j);
/* The record that begins first of those not applied, or NULL. */
const struct journal_slot *journal_slot_oldest(const struct journal *j);

/* journal_commit.c */
/* While a commit is on its way no checkpoint begins. */
int journal_enter(struct journal *j);
void journal_leave(struct journal *j);

/* journal_checkpoint.c */
struct journal_checkpoint {
    uint64_t lsn;        /* all before is in the files */
    uint64_t lazy;       /* lazy removals of records before are done */
    uint64_t generation; /* of the records behind it */
};
/* The file "checkpoint". -ENOENT: there is none. */
int journal_checkpoint_read(const char *dir, struct journal_checkpoint *cp);
/* Durable when it returns 0. */
int journal_checkpoint_write(const char *dir, const struct journal_checkpoint *cp);
/* The last one before a journal is left: everything is durable and done, and the log empty. */
int journal_checkpoint_final(struct journal *j);

/* journal_hung.c */
/*
 * Waits until no commit is on its way, and keeps new ones out; not for long, since one may hang and is not to keep
 * all others: -EAGAIN.
 */
int journal_stop_commits(struct journal *j);
void journal_go_commits(struct journal *j);
/* Is an attempt at a checkpoint of no use now? due: whoever makes it has a client who waits. */
bool journal_is_hopeless(struct journal *j, bool due);
/* In the log, once for each checkpoint_size by which the log has grown since it was last said, or since the last checkpoint. */
void journal_say_it_grows(struct journal *j);
/* Why there is none, to a caller who wants one at any rate: -EAGAIN. */
int journal_no_checkpoint(struct journal *j);
/* Of CLOCK_BOOTTIME, never 0. */
uint64_t journal_seconds(void);

/* journal_lazy.c */
struct journal_plan;
/* syncfs of every file system that holds a path of the plan, and of the journal's own. */
int journal_sync_paths(struct journal *j, const struct journal_plan *plan);
/*
 * Files that the first nops operations remove lazily and nothing made anew, from *pos on; how many, at most max. The
 * names are the plan's.
 */
unsigned journal_lazy_files(const struct journal_plan *plan, uint64_t nops, size_t *pos, const char **names, unsigned max);
/* The same of directories, a deeper one before the one it is in: all of them, to be freed with free(). */
size_t journal_lazy_dirs(const struct journal_plan *plan, uint64_t nops, const char ***namesp);
/* What can't be removed is logged. */
void journal_remove_file(const char *path);
void journal_remove_dir(const char *path);
/*
 * Drops segments that neither the recovery from `lsn` nor a reader at `readers` (a durable place) needs; all: also
 * the last one, if the log ends there.
 */
int journal_segments_drop(struct journal *j, uint64_t lsn, uint64_t readers, bool all);

/* journal_apart.c */
/*
 * journal_sync_paths for a server that goes on: other file systems than the journal's are synced by a child, which is waited
 * for so many seconds. -EAGAIN: one does not answer. The child tells of a failure by journal_fail, whenever it comes.
 */
int journal_sync_apart(struct journal *j, const struct journal_plan *plan, unsigned seconds);
/* Such a child is still at it. */
bool journal_is_apart(const struct journal *j);

/* journal_reader.c */
/* The least LSN that a reader still needs, or UINT64_MAX. */
uint64_t journal_readers_lsn(struct journal *j);
/*
 * Has what readers more than `most` bytes behind have not read put away, and moves their places, durably. A reader
 * for which that does not work stays where it is. True: a place was moved.
 */
bool journal_readers_spill(struct journal *j, uint64_t most);

#endif
