/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TXN_INTERNAL_H
#define INCLUDED_TXN_INTERNAL_H
/*
 * txn_internal -- what the txn*.c files share
 */
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "hash.h"
#include "journal.h"
#include "journal_record.h"
#include "namelock.h"
#include "ptrarray.h"
#include "strarray.h"
#include "txn.h"

struct txn_hook {
    int order;
    unsigned n; /* registered as the n-th: equal orders keep it */
    txn_hook_fn *fn;
    void *rock;
};

struct txn_done {
    txn_done_fn *fn;
    void *rock;
};

struct txn_attachment {
    void *data;
    void (*done)(void *data);
};

struct txn_staged {
    struct txn_staged *next;
    char *path;      /* in the stage; NULL: inline */
    char *dir;       /* the stage directory, to be synced */
    int fd;          /* open until the commit; -1: inline, or closed since there are many */
    const char *base; /* inline bytes, borrowed */
    size_t len;
    mode_t mode;
    time_t mtime;
    bool synced;     /* by txn_staged_sync */
    char *placed;    /* its first name; NULL: none yet */
};

struct txn {
    time_t time;
    struct journal *journal;
    ptrarray_t locks; /* struct namelock, each with a reference of ours */
    struct journal_record rec;
    hash_table link_sources; /* paths that a link was made from: they must keep their inode */
    struct txn_staged *staged;
    unsigned nstaged_files; /* written to the stage as a whole */
    struct txn_db *dbs;
    strarray_t events;       /* one digit of flags and the line */
    hash_table event_set;    /* the same, to find them */
    struct txn_hook *hooks;
    unsigned nhooks, hooks_alloc, hooks_seen;
    struct txn_done *dones;
    unsigned ndones, dones_alloc;
    hash_table attached;
    strarray_t read_only; /* names of locks: see txn_only_reads */
    bool committing;     /* hooks run */
    bool globals_locked; /* from TXN_ORDER_GLOBAL on */
    bool appended;       /* its record is in the log: what it staged is not ours any more */
    int error;           /* misuse while staging: the commit fails with it */
};

/* txn.c: a mistake of the caller, logged; makes the commit fail. */
void txn_misuse(struct txn *txn, const char *what, const char *path);
/* In a child after fork: the open transaction is the parent's. */
void txn_forget(void);
/* imap_err code of a -errno. */
int txn_error(int r);

/* txn_stage.c */
/* Syncs what lies in the stage and is needed. */
int txn_stage_sync(struct txn *txn);
/* Frees; removes files that did not get a name (keep: the journal knows them, they stay). */
void txn_stage_finish(struct txn *txn, bool keep);

/* txn_db_commit.c */
/* Locks the global databases that change, in order. */
int txn_db_lock_globals(struct txn *txn);
/* Adds their locks to the record: first of all locks. */
void txn_db_record_locks(struct txn *txn);
/* Adds the changes to the record. */
int txn_db_record_changes(struct txn *txn);
bool txn_db_isdirty(const struct txn *txn);
/* Gives the locks of global databases back: those that are applied early, or all. */
void txn_db_unlock_early(struct txn *txn);
void txn_db_unlock_globals(struct txn *txn);
/* Gives files and locks back; what is attached to the transaction may still close the handles. */
void txn_db_finish(struct txn *txn);
void txn_db_forget(struct txn *txn); /* the handles themselves */

#endif
