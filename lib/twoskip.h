/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TWOSKIP_H
#define INCLUDED_TWOSKIP_H
/*
 * twoskip -- what the rooms of the twoskip backend share (handbook 01 §2)
 *
 * twoskip_record.c   header, records and their checksums
 * twoskip_search.c   finding keys and stepping along list 0
 * twoskip_write.c    a transaction, kept in memory until it is committed
 * twoskip_replay.c   the content as the log tells it
 * twoskip_recover.c  repair after a crash, and cutting back to a mark
 * twoskip_care.c     repack, check, dump
 * cyrusdb_twoskip.c  the backend: open, lock, read
 *
 * A transaction changes nothing in the file before its commit: new records are in `tail`, changed
 * heads of older ones in `heads`. So an aborted one never happened, and a commit is one write of
 * the tail and one of each head. (A tail larger than TWOSKIP_SPILL is written on the way.)
 *
 * Offsets are bytes from the beginning of the file. Functions return CYRUSDB_*.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "cyrusdb_backend.h"
#include "diskio.h"
#include "kvmap.h"

#define TWOSKIP_HEADER 64u
#define TWOSKIP_DUMMY 64u  /* offset of the dummy */
#define TWOSKIP_FIRST 336u /* size of an empty file */
#define TWOSKIP_MAXLEVEL 31u
#define TWOSKIP_DIRTY 1u
#define TWOSKIP_MINREPACK 16834u
#define TWOSKIP_HEADMAX (8u + 16u + 32u * 8u + 8u)
#define TWOSKIP_SPILL (32u << 20)
#define TWOSKIP_WHOLE 1024u

struct twoskip_header {
    uint64_t generation, num_records, repack_size, current_size;
    uint32_t flags;
};

struct twoskip_record {
    uint64_t offset;
    char type; /* '=' '+' '-' '$' */
    uint8_t level;
    uint64_t keylen, vallen;
    const char *head;  /* its bytes, checksums included, as this transaction sees them */
    uint32_t headlen;
    uint32_t ptrs;     /* where in the head the pointers begin */
    const char *key, *val;
    uint64_t size;     /* of the whole record */
};

/* Changed heads of records below the tail, by offset. */
struct twoskip_heads {
    struct twoskip_changed {
        uint64_t offset; /* 0: free */
        uint32_t len, pos; /* in bytes */
    } *slots;
    size_t nslots, count;
    struct buf bytes;
};

struct twoskip {
    char *fname;
    int fd;
    dev_t dev;
    ino_t ino;
    unsigned flags; /* CYRUSDB_* of the open */
    kvmap_cmp *cmp;
    struct twoskip_header header; /* as under the last lock */
    struct diskio_map map;
    enum diskio_lock lock;
    uint64_t locked_at; /* milliseconds, for the log */

    struct cyrusdb_state repacked_from, repacked_to; /* ino 0: not repacked by this handle */
    bool frozen; /* nobody changes the file: as under the last lock, without it */
    bool made; /* by us, and its name not yet durable */
    bool intxn, shared, nosync;
    bool dirty;         /* DIRTY is on disk, set by this transaction */
    uint64_t num;       /* live records, with this transaction */
    uint64_t tailbase;  /* offset of tail; without a transaction current_size */
    struct buf tail;
    struct twoskip_heads heads;
    uint64_t end;       /* of what can be seen */
    uint64_t changes;   /* counts what may have moved a place in the file */
    uint64_t random;
    /* Offsets of records whose key and value were checked since the file was opened, each in the one slot that it can
     * have: the later one stays. What the top lists lead to is met in each search, and the file may be large. */
    uint64_t whole[TWOSKIP_WHOLE];

    /* place of the last search */
    uint64_t back[TWOSKIP_MAXLEVEL];
    struct twoskip_record found; /* offset 0: the key is not there */
    bool gap;      /* records with damaged keys lie where it was looked for */
    bool unplaced; /* back is not right: there are too many of them */
};

/* ---- twoskip_record.c ---- */
/* CYRUSDB_BADFORMAT, logged. */
int twoskip_header_parse(const char *fname, const char *base, size_t len, struct twoskip_header *header);
void twoskip_header_write(const struct twoskip_header *header, char base[TWOSKIP_HEADER]);
/* The record there; BADFORMAT, logged, when there is none (its key and value are within bounds, not checked). */
int twoskip_read(struct twoskip *ts, uint64_t off, struct twoskip_record *rec);
/* Checks key and value. BADFORMAT, logged. */
int twoskip_check_tail(struct twoskip *ts, const struct twoskip_record *rec);
/* The same without a log line; what was whole lately is not looked at again. */
bool twoskip_is_whole(struct twoskip *ts, const struct twoskip_record *rec);
/*
 * A record at off in a buffer of len bytes, without any log line: 0 whole, 1 its key and value are whole but
 * the head's checksum is not, -1 none.
 */
int twoskip_parse(const char *base, uint64_t len, uint64_t off, struct twoskip_record *rec);
bool twoskip_is_blank(const char *base);
static inline uint32_t twoskip_nptrs(const struct twoskip_record *rec) { return rec->level + 1u; }
/* Pointer slot i. */
uint64_t twoskip_ptr(const struct twoskip_record *rec, unsigned i);
/* Next in list n; list 0: as the last commit, or this transaction, has it. It may lead to a DELETE. */
uint64_t twoskip_next(const struct twoskip *ts, const struct twoskip_record *rec, unsigned n);
/* Head bytes with checksums; returns their length. key and val are of the tail. */
uint32_t twoskip_make_head(char type, unsigned level, uint64_t keylen, uint64_t vallen, const uint64_t *ptrs,
                           uint32_t tailcrc, char out[TWOSKIP_HEADMAX]);
/* Sets a pointer in head bytes that are in memory (call twoskip_seal_head after the last). */
void twoskip_set_ptr(const struct twoskip_record *rec, char *head, unsigned i, uint64_t off);
void twoskip_seal_head(char *head, uint32_t headlen);
/* How many bytes of BLANK words come before a head of that length at off. */
uint32_t twoskip_padding(uint64_t off, uint32_t headlen);
void twoskip_put_blank(struct buf *dst, uint32_t len);

/* ---- twoskip_search.c ---- */
/*
 * Finds the key: ts->back and ts->found. A record with a damaged key is compared with nothing and stays in its lists, so what is
 * put before or behind it can be found. ts->gap: some of them lie at the very place.
 */
int twoskip_find(struct twoskip *ts, const char *key, size_t keylen);
/* For reading: NOTFOUND; BADFORMAT, logged, when the key may be in a damaged record. */
int twoskip_find_live(struct twoskip *ts, const char *key, size_t keylen);
/* For a change; BADFORMAT, logged, when too many damaged records lie on the way. */
int twoskip_find_place(struct twoskip *ts, const char *key, size_t keylen);
/* The next live record behind rec in list 0: 0 with *next, NOTFOUND at the end. */
int twoskip_step(struct twoskip *ts, const struct twoskip_record *rec, struct twoskip_record *next);
/* The first record with a key > key (after), or >= key; keylen 0: the first. NOTFOUND. */
int twoskip_seek(struct twoskip *ts, const char *key, size_t keylen, bool after, struct twoskip_record *rec);

/* ---- twoskip_write.c ---- */
const char *twoskip_head_of(const struct twoskip *ts, uint64_t off, const char *ondisk);
int twoskip_txn_begin(struct twoskip *ts, bool nosync);
int twoskip_txn_store(struct twoskip *ts, const char *key, size_t keylen, const char *val, size_t vallen,
                      bool overwrite);
int twoskip_txn_delete(struct twoskip *ts, const char *key, size_t keylen, bool force);
/* Writes what it has so far; it can still be aborted. */
int twoskip_flush(struct twoskip *ts);
int twoskip_txn_commit(struct twoskip *ts);
/* Forgets; what was spilled is cut off. */
void twoskip_txn_abort(struct twoskip *ts);
/* Writes the header block with these flags. */
int twoskip_put_header(struct twoskip *ts);
/* For tests: levels to draw next, instead of random ones; n 0: random again. */
void twoskip_script_levels(const uint8_t *levels, size_t n);

/* ---- twoskip_replay.c ---- */
struct twoskip_replay {
    struct kvmap live;    /* key, value, offset as number: borrowed from the bytes */
    uint64_t records;     /* RECORDs seen */
    uint64_t damaged;     /* words that are no record, and deletions that are not known to be of what */
    uint64_t badheads;    /* whole but for the checksum of the head */
    bool open;            /* it ends within a transaction */
};
/*
 * Replays bytes [64, end) of a file in memory. skip_damaged: positions that are no record are
 * stepped over, and their transactions left out; else the first one is BADFORMAT. Free with _fini.
 */
int twoskip_replay(struct twoskip_replay *rp, kvmap_cmp *cmp, const char *base, uint64_t end, bool skip_damaged);
void twoskip_replay_fini(struct twoskip_replay *rp);
/* All records that can be read, those of damaged transactions too (cyrusdb_backend.h). */
void twoskip_salvage(const char *base, size_t len, struct kvmap *map, struct cyrusdb_bad *bad);

/* ---- twoskip_recover.c ---- */
/* With the exclusive lock; header read. Leaves the file clean, or BADFORMAT. */
int twoskip_recover(struct twoskip *ts);
/* Sets the pointers of all live records anew; the number of heads that changed. */
int twoskip_relink(struct twoskip *ts, const struct twoskip_replay *rp, uint64_t end, uint64_t *fixed);

/* ---- twoskip_care.c ---- */
/* As under the last lock. */
void twoskip_state(const struct twoskip *ts, struct cyrusdb_state *state);
int twoskip_repack(struct twoskip *ts);
bool twoskip_repack_due(const struct twoskip *ts);
/* With a lock. */
int twoskip_check(struct twoskip *ts);
int twoskip_dump(struct twoskip *ts, unsigned detail, struct buf *out);

/* ---- cyrusdb_twoskip.c ---- */
int twoskip_open_file(const char *fname, unsigned flags, struct twoskip **tsp);
void twoskip_free(struct twoskip *ts);
/* Locks, finds the present file, reads the header, repairs. */
int twoskip_lock(struct twoskip *ts, enum diskio_lock type);
void twoskip_unlock(struct twoskip *ts);
int twoskip_refresh(struct twoskip *ts, uint64_t len);
/* Logs an error of the disk; its code. */
int twoskip_ioerror(const struct twoskip *ts, int r, const char *what);
int twoskip_init_file(struct twoskip *ts, uint64_t generation);

#endif
