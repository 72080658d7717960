/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_RECORD_H
#define INCLUDED_SYNC_RECORD_H
/*
 * sync_record -- one element of RECORD (handbook 03 §3.4)
 *
 * User flags are names here: slots differ from mailbox to mailbox. The record
 * comes first, so that arrays of these are streams for sync_walk.
 */
#include "mailbox_index.h"
#include "strarray.h"
#include "sync_annot.h"

struct dlist;
struct mailbox;

struct sync_record {
    struct index_record rec; /* user_flags are not set */
    strarray_t userflags;    /* as spelled on the other end, no two alike */
    struct sync_annots annots;
};
struct sync_records {
    struct sync_record *v;
    size_t n, alloc;
};
#define SYNC_RECORDS_INITIALIZER \
    {                            \
        NULL, 0, 0               \
    }

void sync_record_init(struct sync_record *rec); /* empty */
void sync_record_fini(struct sync_record *rec);

/* Read one element; replaces *out, which is to be ended in any case. IMAP_PROTOCOL_ERROR: it is no record. */
int sync_record_parse(const struct dlist *item, struct sync_record *out);
/*
 * Read the list of the wire. A UID that comes twice in a row: the last one counts. Order is not
 * checked here but by the walk. IMAP_PROTOCOL_ERROR for an element that is no record.
 */
int sync_records_parse(const struct dlist *list, struct sync_records *out);
void sync_records_fini(struct sync_records *records);

/* The record of a mailbox in that form; replaces *out (end with sync_record_fini). */
int sync_record_read(struct mailbox *mailbox, const struct index_record *rec,
                     struct sync_record *out);
/* Add it to a list; minor is the version of the mailbox it is from. */
void sync_record_print(const struct sync_record *rec, uint32_t minor, struct dlist *list);

/* Flags (system, user) and annotations are the same; user flags without regard to case or order. */
bool sync_record_same_flags(const struct sync_record *a, const struct sync_record *b);

/* Set the user flags of rec to exactly these, making slots in the mailbox. IMAP_USERFLAG_EXHAUSTED. */
int sync_record_set_userflags(struct mailbox *mailbox, const strarray_t *names,
                              struct index_record *rec);
/*
 * What an index of the mailbox's version has no field for becomes a stored annotation again; the
 * snoozed bit of rec follows the set.
 */
void sync_record_fit(struct sync_record *from, uint32_t minor, struct index_record *rec);

#endif
