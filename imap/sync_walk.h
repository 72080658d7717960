/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_WALK_H
#define INCLUDED_SYNC_WALK_H
/*
 * sync_walk -- merge two UID-ordered streams of index records
 *
 * Replication, repair and comparison all ask one question: which messages are
 * on both ends, which only here, which only there? sync_walk_next() answers it
 * one UID at a time. It advances a stream only when it has handed out that
 * stream's record, so the two ends can never lose step.
 *
 * Records must come in strictly rising UID order; a stream that breaks the
 * order ends the walk with IMAP_MAILBOX_BADFORMAT and names the UID.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox_index.h"

struct mailbox;

/* ---- where records come from ---- */

/*
 * Hands out the next record: 0 and *recp, or 0 and *recp NULL at the end, or an imap_err code,
 * which ends the walk. The record stays valid until the next call; a record may be the first
 * member of something larger.
 */
typedef int sync_stream_fn(void *rock, const struct index_record **recp);
struct sync_stream {
    sync_stream_fn *next; /* NULL: an empty stream */
    void *rock;
};

/* An array, borrowed. stride: bytes from one record to the next, so that the records may be
 * the first members of larger elements (sizeof(struct index_record) for a plain array). */
struct sync_array {
    const void *base;
    size_t n, stride, pos;
};
struct sync_stream sync_stream_array(struct sync_array *array, const void *base, size_t n,
                                     size_t stride);

/* All records of a mailbox as they are at the first step, expunged ones included. Appends made
 * while the walk goes on are not seen; changed records that lie ahead are. */
struct sync_mailbox_records {
    struct mailbox *mailbox;
    uint32_t recno, num_records;
    struct index_record rec;
};
struct sync_stream sync_stream_mailbox(struct sync_mailbox_records *records,
                                       struct mailbox *mailbox);
/* Those with this UID or a higher one. */
struct sync_stream sync_stream_mailbox_from(struct sync_mailbox_records *records, struct mailbox *mailbox,
                                            uint32_t uid);

/* ---- the walk ---- */
enum sync_walk_side { SYNC_WALK_BOTH, SYNC_WALK_LOCAL, SYNC_WALK_REMOTE, SYNC_WALK_END };

struct sync_walk_end { /* private */
    struct sync_stream stream;
    const struct index_record *head; /* read, not yet handed out; NULL behind the end */
    uint32_t lastuid;
    bool advance; /* the head was handed out: read the next one first */
};
struct sync_walk {
    struct sync_walk_end local, remote;
    int error; /* why the walk ended; 0: both streams came to their ends */
    uint32_t
        error_uid; /* IMAP_MAILBOX_BADFORMAT: the UID that is out of order; else the last good one */
    enum sync_walk_side error_side; /* the stream that failed */
};

void sync_walk_init(struct sync_walk *walk, struct sync_stream local, struct sync_stream remote);
/*
 * Step to the next UID. On return ours/theirs point at the record of that side,
 * or are NULL where that side lacks it; both stay valid until the next call.
 * SYNC_WALK_END: no more, or walk->error; further calls give the same.
 */
enum sync_walk_side sync_walk_next(struct sync_walk *walk, const struct index_record **ours,
                                   const struct index_record **theirs);

#endif
