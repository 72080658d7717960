/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TXN_DB_INTERNAL_H
#define INCLUDED_TXN_DB_INTERNAL_H
/*
 * txn_db_internal -- what txn_db.c (reading and staging) and txn_db_commit.c (locks, record) share
 */
#include <stdbool.h>
#include <stdint.h>

#include "cyrusdb.h"
#include "journal_record.h"
#include "kvmap.h"
#include "ptrarray.h"
#include "txn_internal.h"

struct txn_db {
    struct txn_db *next;
    struct txn *txn; /* NULL: for reading what is committed */
    unsigned refs;   /* of one without txn */
    char *path, *backend;
    char *lockname;  /* of a global one; with one file a key: the beginning of the locks' names */
    unsigned flags;  /* TXN_DB_* */
    bool perkey;     /* global, one file a key: a lock for each */
    struct db *db;   /* NULL: there is no file */
    bool settled;    /* the file, or that there is none, stays as it is until this transaction changes it */
    struct kvmap staged; /* head NULL: nothing yet; data NULL: removed */
    bool scratch; /* there is no file, only what is staged */
    struct namelock *lock;
    ptrarray_t keylocks; /* struct namelock */

    /* at the commit */
    struct journal_op op; /* JOURNAL_OP_DB */
    bool skip;            /* nothing to do after all */
    bool removed;         /* the file goes: what was staged is void */
    bool keeps_seal;      /* what the seal says stays true */
};

/* imap_err code of a CYRUSDB_*; the cause has been logged. */
int txn_db_error(int r);
/* The file, if it is there now. */
int txn_db_open_file(struct txn_db *db);
static inline bool txn_db_is_staged(const struct txn_db *db) { return db->staged.head && db->staged.count; }
/* Its lock is held: until txn_db_unsettle nobody changes the file, and reading it needs no system call. */
int txn_db_settle_locked(struct txn_db *db);
/* Others may change the file from now on, or we. */
void txn_db_unsettle(struct txn_db *db);
/* Closes the file. */
void txn_db_close_file(struct txn_db *db);
/* Repacks a global database under its lock; a seal that held goes on to do so. */
void txn_db_repack_sealed(struct txn_db *db);
/* Ends everything in the handle but the handle itself. */
void txn_db_release(struct txn_db *db);

#endif
