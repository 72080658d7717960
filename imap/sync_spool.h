/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_SPOOL_H
#define INCLUDED_SYNC_SPOOL_H
/*
 * sync_spool -- the records of another end, put away as they come and read one at a time
 *
 * However many there are, SPILL_MEMORY bytes of memory are used (and the room of one record); what is more
 * lies in a file in temp_path that has no name. A record is kept whole: every field that
 * sync_record_parse sets is the same when it is read again.
 *
 * IMAP_NOSPACE, IMAP_IOERROR: the file cannot be made, written or read (logged).
 */
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "spill.h"
#include "sync_record.h"
#include "sync_walk.h"

struct dlist;

/* What an error of a spill in temp_path is, and logged as. what: "write", "read". */
int sync_spill_error(int r, const char *what);

struct sync_spool {
    struct spill bytes;
    struct buf last;   /* the last record: not in bytes yet, as one of the same UID replaces it */
    uint32_t last_uid; /* of it; 0: none */
};
void sync_spool_init(struct sync_spool *spool);
void sync_spool_fini(struct sync_spool *spool);
/* One more. A UID that comes twice in a row: the last one counts. Order is not checked here but by the walk. */
int sync_spool_add(struct sync_spool *spool, const struct sync_record *rec);
/* After the last one, before the first is read. */
int sync_spool_end(struct sync_spool *spool);

/* ---- reading; several readers may be at work ---- */
struct sync_spool_reader {
    const struct sync_spool *spool;
    struct sync_record rec; /* the record that was read last: the caller may change it */
    uint64_t at;            /* where that begins, for sync_spool_read */
    size_t pos;             /* its number, from 0 */
    uint64_t next;          /* where the next one begins */
    size_t n;               /* records read */
    struct buf window;      /* bytes of the spool */
    uint64_t window_at;
};
void sync_spool_open(struct sync_spool_reader *reader, const struct sync_spool *spool);
void sync_spool_close(struct sync_spool_reader *reader);
/* All records in order. The stream ends with the reader. */
struct sync_stream sync_stream_spool(struct sync_spool_reader *reader);
/* The record that begins at `at`, into reader->rec. A stream of the same reader goes on behind it. */
int sync_spool_read(struct sync_spool_reader *reader, uint64_t at);

#endif
