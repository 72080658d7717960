/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_JOURNAL_RECORD_H
#define INCLUDED_JOURNAL_RECORD_H
/*
 * journal_record -- one record of the journal: building it and reading it
 *
 * The format is in doc/journal.md. A record carries its own LSN and the generation of
 * the log, and two CRCs, so that no other bytes are ever taken for it. Pure
 * functions over bytes; nothing here touches the disk.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

#define JOURNAL_RECORD_MAGIC 0x43594A31u /* "CYJ1" */
#define JOURNAL_RECORD_HEAD 72u
#define JOURNAL_RECORD_MAX (1u << 30)

enum journal_record_type {
    JOURNAL_RECORD_TXN = 1,
    JOURNAL_RECORD_ANNOUNCE = 2, /* only JOURNAL_OP_DB: marks of databases about to be changed early */
};

/* Redo operations. Paths are absolute. */
enum journal_op_kind {
    JOURNAL_OP_PWRITE = 1,  /* data at off */
    JOURNAL_OP_TRUNCATE,    /* to off bytes */
    JOURNAL_OP_REPLACE,     /* data is the whole file; mode */
    JOURNAL_OP_CREATE,      /* the same for a new file; number: mtime, 0: none */
    JOURNAL_OP_LINK,        /* path2 becomes a link to path */
    JOURNAL_OP_RENAME,      /* the staged file path becomes path2 */
    JOURNAL_OP_UNLINK,
    JOURNAL_OP_UNLINK_LAZY,
    JOURNAL_OP_MKDIR,       /* with parents; mode */
    JOURNAL_OP_RMDIR,       /* lazy */
    JOURNAL_OP_UTIME,       /* number: mtime */
    JOURNAL_OP_DB,          /* a database: path, path2 backend, off and number its mark before this record */
    JOURNAL_OP_KVSET,       /* key and data, in the database of the last JOURNAL_OP_DB */
    JOURNAL_OP_KVDEL,
    JOURNAL_OP_SYMLINK,     /* path becomes a symbolic link to what data says */
    JOURNAL_OP_LAST
};

/* flag of JOURNAL_OP_REPLACE: a file that is there, is small and has no other name keeps its inode */
#define JOURNAL_REPLACE_INPLACE 1u

/* flags of JOURNAL_OP_DB */
#define JOURNAL_DB_CREATE 1u  /* it may be made */
#define JOURNAL_DB_EARLY 2u   /* applied before the record is durable: under a lock of its own */
#define JOURNAL_DB_ABSENT 4u  /* there was no file before this record */
#define JOURNAL_DB_NOMARK 8u  /* the backend has no marks */
#define JOURNAL_DB_CONVERT 16u /* it may have been a file of another backend */
#define JOURNAL_DB_SEALED 64u /* what the seal says stays true (journal_seal.h) */
#define JOURNAL_DB_DERIVED 32u /* when it is damaged it is set aside, and begun anew */

struct journal_op {
    enum journal_op_kind kind;
    unsigned flags;
    mode_t mode;
    const char *path, *path2; /* NUL-terminated; path2 NULL: none */
    const char *key, *data;
    size_t keylen, datalen;
    uint64_t off, number;
    uint32_t lock; /* JOURNAL_OP_DB: number of its lock in the record */
};
/* The path whose state the operation decides: path2 for LINK and RENAME. */
const char *journal_op_target(const struct journal_op *op);
const char *journal_op_name(enum journal_op_kind kind);

/* ---- building ---- */
struct hash_table;
struct journal_record {
    struct buf strings, locks, ops, events;
    uint32_t nstrings, nlocks, nops, nevents;
    struct hash_table *index; /* string -> number + 1 */
    struct buf bytes;         /* the whole record after journal_record_seal */
};
void journal_record_init(struct journal_record *rec);
void journal_record_fini(struct journal_record *rec);
/* Adds a lock; its number. early: released before the record is durable (the lock of an early database). */
uint32_t journal_record_lock(struct journal_record *rec, const char *name, bool early);
void journal_record_op(struct journal_record *rec, const struct journal_op *op);
void journal_record_event(struct journal_record *rec, const char *line, unsigned flags);
/* Nothing in it? Locks alone are nothing. */
bool journal_record_isempty(const struct journal_record *rec);
/*
 * Puts the parts together; no more can be added. -EMSGSIZE when it is larger than a
 * record may be. The length is a multiple of 8.
 */
int journal_record_seal(struct journal_record *rec, enum journal_record_type type, uint64_t time);
/* Writes its place into a sealed record; synced: how far the log is durable. */
void journal_record_stamp(struct journal_record *rec, uint64_t lsn, uint64_t generation, uint64_t synced);

/* ---- reading ---- */
struct journal_head {
    uint32_t length; /* of the record, bytes */
    uint64_t lsn;    /* of its first byte */
    uint64_t generation;
    uint64_t time;
    uint64_t synced; /* the log was durable up to there when this was written */
    enum journal_record_type type;
    uint32_t nstrings, nlocks, nops, nevents, pid;
    uint32_t bodycrc;
};
/* The first JOURNAL_RECORD_HEAD bytes; -EBADMSG when they are no head of a record at that LSN. */
int journal_head_parse(const char *base, uint64_t lsn, struct journal_head *head);

/* A whole record. Everything in it points into the bytes. */
struct journal_view {
    struct journal_head head;
    const char **strings;
    const char *locks, *ops, *events, *end;
};
/* -EBADMSG when the bytes are not a whole record. Free with journal_view_fini. */
int journal_view_init(struct journal_view *view, const char *base, size_t len, uint64_t lsn);
void journal_view_fini(struct journal_view *view);
/* Name of a lock; *early (may be NULL) as it was given. */
const char *journal_view_lock(const struct journal_view *view, uint32_t n, bool *early);

struct journal_op_iter {
    const struct journal_view *view;
    const char *p;
    uint32_t left;
};
void journal_op_iter_init(struct journal_op_iter *iter, const struct journal_view *view);
/* 1 with *op, 0 at the end. (A view has been checked as a whole.) */
int journal_op_iter_next(struct journal_op_iter *iter, struct journal_op *op);

struct journal_event_iter {
    const struct journal_view *view;
    const char *p;
    uint32_t left;
};
void journal_event_iter_init(struct journal_event_iter *iter, const struct journal_view *view);
/* 1 with the line (NUL-terminated, borrowed), 0 at the end. */
int journal_event_iter_next(struct journal_event_iter *iter, const char **line, unsigned *flags);

#endif
