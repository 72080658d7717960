/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CYRUSDB_H
#define INCLUDED_CYRUSDB_H
/*
 * cyrusdb -- ordered maps from keys to values, one file each (handbook 01 §1)
 *
 * Keys have at least one byte, values may be empty; both hold any bytes. What the file
 * looks like is the backend's affair; nothing above knows.
 *
 * This is for the journal and for tools that use a file alone. Stores of the server use
 * imap/txn_db (imap/txn.h), which stages changes and makes them durable with the journal.
 *
 * A process has a file open at most once, as its locks demand: opening the same path again gives
 * the same handle with one more reference. At most one transaction is open on a handle; while
 * it is, all reads and changes of this process belong to it. Without one, a read takes the lock
 * for itself, and a change is a transaction of its own.
 *
 * Returns CYRUSDB_OK or one of the codes below; a cause is logged once, where it is known
 * ("DBERROR: ..."). errno is not set.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct db;

enum cyrusdb_ret {
    CYRUSDB_OK = 0,
    CYRUSDB_DONE = 1, /* for callbacks: enough */
    CYRUSDB_IOERROR = -1,
    CYRUSDB_AGAIN = -2,
    CYRUSDB_EXISTS = -3,
    CYRUSDB_INTERNAL = -4,
    CYRUSDB_NOTFOUND = -5, /* no such key, no such file */
    CYRUSDB_LOCKED = -6,   /* a transaction is open on it in this process */
    CYRUSDB_NOTIMPLEMENTED = -7,
    CYRUSDB_FULL = -8,     /* no space */
    CYRUSDB_READONLY = -9,
    CYRUSDB_BADFORMAT = -10, /* not a database of this layer, or damaged */
};
/* "IO error" and so on (handbook 01 §1.5). */
const char *cyrusdb_strerror(int r);

/* ---- backends ---- */
/* 0 or CYRUSDB_NOTIMPLEMENTED for a name that is not supported. */
int cyrusdb_check_backend(const char *backend);
/* Names, by index, NULL behind the last. */
const char *cyrusdb_backend_name(unsigned i);
/*
 * Name of the backend whose magic the file begins with (skiplist, twoskip), NULL when it has
 * none, is shorter than 32 bytes or can't be read.
 */
const char *cyrusdb_detect(const char *fname);

/* ---- open ---- */
#define CYRUSDB_CREATE 0x01u    /* make an empty one (and parent directories) if it is missing */
#define CYRUSDB_MBOXSORT 0x02u  /* the "mbox" order of keys instead of bytes (handbook 01 §1.7) */
#define CYRUSDB_CONVERT 0x04u   /* a file of another backend is converted in place */
#define CYRUSDB_NOCOMPACT 0x08u /* no repack when it is closed */
#define CYRUSDB_SHARED 0x10u    /* of cyrusdb_begin: for reading */
#define CYRUSDB_NOCRC 0x20u     /* checksums are not looked at when reading */
#define CYRUSDB_NOSYNC 0x40u    /* of cyrusdb_begin: the journal makes it durable */
#define CYRUSDB_KEEP 0x80u      /* the file may stay open after the last close, for the next open */
/*
 * A file of another backend, known by its magic, is opened as what it is. An unknown name of a
 * backend is fatal() with EX_CONFIG. NOTFOUND: no file, and no CREATE.
 */
int cyrusdb_open(const char *backend, const char *fname, unsigned flags, struct db **dbp);
/*
 * Gives one reference back; an open transaction is aborted. The last one closes the file, after a
 * repack if one is due and this process changed it (not with NOCOMPACT). NULL is fine.
 */
int cyrusdb_close(struct db *db);
/* Closes the files that KEEP left open. */
void cyrusdb_done(void);
const char *cyrusdb_fname(const struct db *db);
/* Of the file as it is, whatever was asked for. */
const char *cyrusdb_backend(const struct db *db);

/* ---- reading ---- */
/*
 * Exact key; NOTFOUND. *data stays valid until the next call on this database, the end of a transaction
 * included. data may be NULL.
 */
int cyrusdb_fetch(struct db *db, const char *key, size_t keylen, const char **data, size_t *datalen);
/* The first key greater than the given one (keylen 0: of all). NOTFOUND: the end. As above. */
int cyrusdb_fetchnext(struct db *db, const char *key, size_t keylen, const char **foundkey, size_t *foundkeylen,
                      const char **data, size_t *datalen);
typedef int cyrusdb_cb(void *rock, const char *key, size_t keylen, const char *data, size_t datalen);
/*
 * All keys that begin with prefix, in order. Outside a transaction the lock is given back while cb
 * runs, and cb may change this database: what was added ahead is seen. A non-zero return of cb
 * ends it and is returned.
 */
int cyrusdb_foreach(struct db *db, const char *prefix, size_t prefixlen, cyrusdb_cb *cb, void *rock);
/*
 * From here to cyrusdb_thaw the file does not change: the caller has locked out whoever else might write to it, and
 * does not himself (LOCKED). So reads take no lock and look at the file no more. A backend that would gain
 * nothing by it reads as before.
 */
int cyrusdb_freeze(struct db *db);
void cyrusdb_thaw(struct db *db);
/* Compares two keys in the order of this database. */
int cyrusdb_compar(const struct db *db, const char *a, size_t alen, const char *b, size_t blen);
/* The same without a file: the order that a new file of the backend has. */
typedef int cyrusdb_cmp(const char *a, size_t alen, const char *b, size_t blen);
cyrusdb_cmp *cyrusdb_order(const char *backend, unsigned flags);
/* The order of this database, as a function. */
cyrusdb_cmp *cyrusdb_db_order(const struct db *db);

/* ---- changing ---- */
/* flags: SHARED or NOSYNC. LOCKED when one is open already. */
int cyrusdb_begin(struct db *db, unsigned flags);
/* Durable when it returns 0, unless begun with NOSYNC. On an error everything is as before. */
int cyrusdb_commit(struct db *db);
/*
 * Writes what the transaction has so far, which can still be aborted: for tests of recovery, where the process
 * then dies. Most backends have nothing to do.
 */
int cyrusdb_flush(struct db *db);
/* Without an open one: a no-op. */
void cyrusdb_abort(struct db *db);
/* Sets the value, new or not. */
int cyrusdb_store(struct db *db, const char *key, size_t keylen, const char *data, size_t datalen);
/* EXISTS when the key is there (and the transaction goes on). */
int cyrusdb_create(struct db *db, const char *key, size_t keylen, const char *data, size_t datalen);
/* NOTFOUND when the key is not there, 0 with force. */
int cyrusdb_delete(struct db *db, const char *key, size_t keylen, bool force);

/* ---- care ---- */
/* Rewrites the file without what is dead, durably. NOTIMPLEMENTED where there is nothing to do. */
int cyrusdb_repack(struct db *db);
/* Would it be worth it? */
bool cyrusdb_repack_due(struct db *db);
/* Checks the structure; 0, or BADFORMAT (logged). */
int cyrusdb_consistent(struct db *db);
/* A human-readable dump of the file's structure, appended. */
int cyrusdb_dump(struct db *db, unsigned detail, struct buf *out);
/*
 * Converts the file at fname to `backend` in place, durably: FILE.NEW gets all records, their number is
 * checked, and it is renamed. The source is left as it is on any error.
 */
int cyrusdb_convert(const char *fname, const char *from, const char *backend, unsigned flags);
/*
 * The file was given another name: handles that this process has of it get a new, empty one in its place. LOCKED: a
 * transaction is open on one.
 */
int cyrusdb_begin_anew(const char *fname);
/* Removes the database; none there: 0. */
int cyrusdb_unlink(const char *backend, const char *fname);

/*
 * Records of twoskip files that this process has looked at so far, those that a search passes included: what an operation
 * costs, whatever the machine. For tests.
 */
uint64_t cyrusdb_records_read(void);

/* ---- what can be read of a damaged file (cyrusdb_salvage.c) ---- */
struct cyrusdb_salvage {
    cyrusdb_cb *record; /* each readable record, in order; not 0 ends it and is returned. NULL: not asked for */
    void (*bad)(void *rock, uint64_t off, uint64_t len, const char *what); /* bytes that are no record. NULL: as above */
    void *rock;
};
/*
 * Reads the file as its bytes are, under a shared lock: nothing is repaired or changed. All bad ranges are told before the
 * first record. A transaction that a crash cut short is no damage. NOTFOUND; IOERROR (logged); NOTIMPLEMENTED: quotalegacy,
 * or no such backend.
 */
int cyrusdb_salvage(const char *backend, const char *fname, unsigned flags, const struct cyrusdb_salvage *to);
/*
 * Makes the file anew, with this backend, of the records that can be read; the old bytes stay under the name *kept beside it
 * (free()d by the caller; NULL after an error): FILE.damaged, or FILE.damaged-2 and so on where that is taken. This
 * process must not have it open; files that KEEP left open are closed. Whoever keeps a journal has to run a checkpoint afterwards (txn_checkpoint): it knows places of the old
 * file. Errors as above, after which the file is as before.
 */
int cyrusdb_remake(const char *backend, const char *fname, unsigned flags, char **kept);

/* ---- for the journal (doc/journal.md §7) ---- */
struct cyrusdb_mark {
    uint64_t generation;
    uint64_t end; /* offset behind the last commit */
};
/* Can the file be cut back to a mark? */
bool cyrusdb_has_marks(const struct db *db);
/* The same of a file that backend would make. */
bool cyrusdb_backend_has_marks(const char *backend);
/*
 * Can all changes since a moment be set again from any state of the file, torn as it may be? Then they need
 * no sync: it has marks, or each value is written as a whole.
 */
bool cyrusdb_needs_no_sync(const struct db *db);
/* The mark of the file now. NOTIMPLEMENTED: it has none. */
int cyrusdb_get_mark(struct db *db, struct cyrusdb_mark *mark);
/* Which file it is, and its mark: equal when nobody has changed it. */
struct cyrusdb_state {
    uint64_t dev, ino, generation, end;
};
/* The state now; known: as this process saw it last under the file's lock, its own last commit included. NOTIMPLEMENTED. */
int cyrusdb_get_state(struct db *db, bool known, struct cyrusdb_state *state);
/* What the last repack that this process has made of it found and left. NOTFOUND: none. */
int cyrusdb_get_repack(struct db *db, struct cyrusdb_state *from, struct cyrusdb_state *to);
/*
 * Cuts a file that a power cut left in any state behind the mark back to its content at the mark: to
 * the oldest of these whose generation is on disk; *cut tells whether one was. The file must not be
 * open. Not synced. NOTFOUND: no file. BADFORMAT: what was durable at the mark is not there.
 */
int cyrusdb_rewind(const char *fname, const struct cyrusdb_mark *marks, unsigned n, bool *cut);

#endif
