/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_INTERNAL_H
#define INCLUDED_MAILBOX_INTERNAL_H
/*
 * mailbox_internal -- what the mailbox*.c files and append*.c share
 *
 * The state of a handle has two layers. Below is the file as it was when the lock was
 * taken: mapped bytes of cyrus.index and cyrus.cache, and `disk`, its header. Above is
 * what this transaction has staged: changed and new records, cache records, and
 * `hdr`, the header as it will be. Reads look above first. The layer above becomes file
 * operations in one place, mailbox_commit.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bitvector.h"
#include "buf.h"
#include "conversations.h"
#include "diskio.h"
#include "hash.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "message.h"
#include "namelock.h"
#include "ptrarray.h"
#include "user.h"

/* ---- staged records ---- */

/* Where the bytes of a message staged in this transaction are; both NULL: in its own file. */
struct staged_file {
    const char *base; /* in memory, until the transaction is over */
    size_t len;
    char *path; /* in a file */
};

struct staged_record {
    struct index_record rec;
    struct staged_file file;
};

/* Finds one of them: memory for what is changed, not for what is in the mailbox. */
struct staged_slot {
    uint32_t recno;  /* 0: free */
    uint32_t number; /* in mailbox->staged */
};

/* ---- cyrus.cache, or the one beside the archived messages ---- */

/* Staged cache records; a chunk never moves, so views of it last as long as the handle. */
struct cache_chunk {
    uint64_t off; /* in the file */
    char *base;
    size_t len, size;
};

struct cache_file {
    bool opened;  /* looked at since the lock was taken */
    bool foreign; /* belongs to a newer index than the view */
    bool there;   /* there is such a file */
    int fd;       /* -1: not open; of a handle for writing closed when it is mapped */
    char *path;
    struct diskio_map map;
    uint64_t disk_end; /* bytes of the file; staged records begin at or behind it */
    uint64_t next;     /* where the next record goes; 0: not known yet */
    struct cache_chunk *chunks;
    size_t nchunks, alloc;
};

/* ---- records that can't be read ---- */

struct mailbox_damage {
    bool looked;
    bool unknown;        /* some are messages, and it can't be told which */
    uint32_t records;
    struct seqset *uids; /* of messages */
};

/* ---- the handle ---- */

struct mailbox {
    mbentry_t *mbentry;
    struct mailbox_place place; /* borrows from mbentry */
    char *userid;               /* owner; NULL: nobody */
    struct namelock *lock;      /* of a handle for reading, while it is locked */
    uint64_t seen_lsn;
    struct txn *txn; /* NULL: for reading */

    char *index_path;
    int index_fd; /* of a handle for reading; for writing closed when it is mapped */
    ino_t index_ino;
    dev_t index_dev;
    struct diskio_map map;    /* of the index */
    struct index_header disk; /* as it is in the file; of a new mailbox: no records */
    struct index_header hdr;  /* as it will be */
    struct mailbox_header header;

    struct staged_slot *slots; /* by the hash of their recno, of what is staged; NULL: nothing */
    size_t nslots;             /* a power of 2, at least twice nstaged */
    struct staged_record *staged;
    size_t nstaged, staged_alloc;

    struct cache_file cache[2]; /* [1]: of archived messages */
    bitvector_t cache_good;     /* recnos whose cache record has been checked */
    struct buf rebuilt;         /* the cache record made last for a damaged one */
    bitvector_t bad_logged;     /* recnos whose wrong CRC has been told */
    struct mailbox_damage damage;
    struct buf fname;           /* mailbox_record_fname */

    /* of a handle for writing */
    struct user_meta *meta; /* of the owner; NULL: not looked up yet */
    struct conversations_state *conv;
    bool meta_opened, conv_opened;
    bool hooked; /* the commit hooks are registered */
    bool hdr_dirty, header_dirty;
    bool follows;        /* nothing changes but that its header gets the name that it has: nobody is told */
    bool header_inplace; /* cyrus.header, when it is written, keeps its inode */
    bool created, deleted, repack, repack_must;
    bool modseq_begun; /* highestmodseq is in step with the owner's counter */
    modseq_t
        *shared_modseq; /* of the owner in this transaction; NULL: numbers of the mailbox alone */
    bool appended, counts_wrong;
    struct buf repacked;   /* bytes of a new index, until the transaction is over */
    int has_annots;        /* cyrus.annotations is there: 1, 0, -1: not known */
    char *quotaroot;       /* the root that quota_base counts for */
    int64_t quota_base[4]; /* what is accounted there: enum quota_resource */
};

/* mailbox.c */
/* A handle without files, for mailbox_create. */
struct mailbox *mailbox_new_handle(const mbentry_t *mbentry, struct txn *txn);
/* Another place or name. */
int mailbox_set_mbentry(struct mailbox *mailbox, const mbentry_t *mbentry);
/* Gives a new handle for writing to its transaction. */
void mailbox_attach(struct mailbox *mailbox);
void mailbox_free(struct mailbox *mailbox);
/* Logs what is wrong with a file of this mailbox. */
void mailbox_log(const struct mailbox *mailbox, int r, const char *what, const char *path);

/* mailbox_record.c */
/* A place for the changed record, found or made; pointers end with the next call. */
struct staged_record *mailbox_stage_record(struct mailbox *mailbox, uint32_t recno);
struct staged_record *mailbox_staged(const struct mailbox *mailbox, uint32_t recno);
const char *mailbox_record_bytes(const struct mailbox *mailbox, uint32_t recno);

/* mailbox_damage.c */
/* The file has changed. */
void mailbox_damage_forget(struct mailbox *mailbox);
bool mailbox_has_damage(struct mailbox *mailbox);

/* mailbox_cache.c */
/* Stages an encoded cache record; rec gets offset, version and CRC. */
int mailbox_stage_cache(struct mailbox *mailbox, struct index_record *rec, const char *base,
                        size_t len, uint32_t crc, uint32_t version);
void mailbox_cache_close(struct mailbox *mailbox);
/* Number of the cache file that has the record: 1 the archive's, where that is a file of its own. */
int mailbox_cache_number(const struct mailbox *mailbox, const struct index_record *rec);
bool mailbox_cache_has_archive(const char *partition);
/* The files have other paths from now on. */
int mailbox_cache_paths(struct mailbox *mailbox);
/*
 * A mailbox moves to a partition on which archived messages have a cache of their own, or share the other one, and here they do
 * not: their records are taken before it moves, and put when it is in its new place. *movep NULL: there is nothing to do.
 */
struct cache_move;
int mailbox_cache_take(struct mailbox *mailbox, const char *partition, struct cache_move **movep);
int mailbox_cache_put(struct mailbox *mailbox, struct cache_move *move);
void mailbox_cache_move_free(struct cache_move **movep);
/* Stages the file operations of what was added. */
int mailbox_cache_commit(struct mailbox *mailbox);
/* The options that decide how a message is read. */
void mailbox_message_config(struct message_config *config);
/* The record as bytes, however it can be had: from the file or made anew. IMAP_NOTFOUND: neither. */
int mailbox_cache_bytes(struct mailbox *mailbox, const struct index_record *rec, struct buf *view,
                        uint32_t *crc, uint32_t *version);
/* Says where the bytes of a staged message are; base is borrowed until the transaction is over. */
void mailbox_note_file(struct mailbox *mailbox, uint32_t uid, const char *base, size_t len,
                       const char *path);

/* mailbox_change.c */
/* Before the first change: hooks are registered. IMAP_INTERNAL for a handle for reading. */
int mailbox_begin_change(struct mailbox *mailbox);
int mailbox_open_meta(struct mailbox *mailbox);
int mailbox_open_conversations(struct mailbox *mailbox);
bool mailbox_has_annotations(struct mailbox *mailbox);

/* mailbox_commit.c */
int mailbox_commit_hook(struct txn *txn, void *rock);
int mailbox_conversations_hook(struct txn *txn, void *rock);
int mailbox_write_index(struct mailbox *mailbox);
/* Usage of the mailbox as it is staged, by enum quota_resource. */
/* ---- mailbox_owner.c ---- */
/* IMAP_MAILBOX_MOVED, with an alarm: the directory of entry belongs to another live name, as its header says. */
int mailbox_refuse_clash(const struct mailbox *mailbox, const mbentry_t *entry);
void mailbox_usage(const struct mailbox *mailbox, int64_t usage[4]);
/* Accounts the difference since the last time to the present root. */
int mailbox_account_quota(struct mailbox *mailbox, const int64_t usage[4]);

/* mailbox_tombstones.c: which records of messages whose files are gone a repack keeps */
struct tombstone_rule {
    bool none;
    time_t since, surely; /* last_updated from which on they may stay, and stay in any case */
    time_t clock;         /* up to here a last_updated is believed to be no mistake */
    modseq_t above;       /* others only with a modseq above this one */
};
void mailbox_tombstone_rule(struct mailbox *mailbox, struct tombstone_rule *rule);
/* rec is UNLINKED. */
bool mailbox_tombstone_stays(const struct tombstone_rule *rule, const struct index_record *rec);

/* mailbox_repack.c */
int mailbox_write_repacked(struct mailbox *mailbox);
/* As mailbox_repack, but the transaction fails without it. */
int mailbox_must_repack(struct mailbox *mailbox);

/* mailbox_files.c */
int mailbox_write_deleted(struct mailbox *mailbox);
/* The files move to the place of the entry; the handle is as before. */
int mailbox_move_files(struct mailbox *mailbox, const mbentry_t *newentry);
/* All directories of the mailbox are made. */
int mailbox_make_dirs(struct txn *txn, const struct mailbox_place *place);
/*
 * Can files be made where this mailbox has, or will have, its own? IMAP_IOERROR (logged) before anything is
 * promised that a mistake of the administrator would keep from being done.
 */
int mailbox_check_writable(struct mailbox *mailbox);

/* mailbox_log.c: lines of the option auditlog */
void mailbox_audit(const struct mailbox *mailbox, const char *action,
                   const struct index_record *oldrec, const struct index_record *rec,
                   const char *messageid);
void mailbox_audit_commit(const struct mailbox *mailbox);
void mailbox_audit_life(const struct mailbox *mailbox, const char *action);

#define MAILBOX_FILE_MODE 0644 /* less the umask */
#define MAILBOX_DIR_MODE 0755

#endif
