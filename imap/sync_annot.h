/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_ANNOT_H
#define INCLUDED_SYNC_ANNOT_H
/*
 * sync_annot -- the annotations of a mailbox or a message as replication carries them
 *
 * A set is complete: what is not in it does not exist on that end. Sets are kept in
 * the order of the wire, sorted by entry, user id, value (handbook 03 §3.5). Values are
 * octets. The three virtual annotations of a record (thrid, savedate, createdmodseq)
 * are fields of the record and not in the set.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "mailbox_index.h"
#include "mbentry.h"
#include "txn.h"
#include "util.h"

struct dlist;
struct mailbox;

#define IMAP_ANNOT_NS "/vendor/cmu/cyrus-imapd/"

struct sync_annot {
    char *entry, *userid; /* userid "": shared */
    struct buf value;
    modseq_t modseq;
};
struct sync_annots {
    struct sync_annot *v;
    size_t n, alloc;
};
#define SYNC_ANNOTS_INITIALIZER \
    {                           \
        NULL, 0, 0              \
    }

/* Add one; entry and value are copied. Keep the order with sync_annots_sort after the last. */
void sync_annots_add(struct sync_annots *set, const char *entry, const char *userid,
                     const char *base, size_t len, modseq_t modseq);
void sync_annots_sort(struct sync_annots *set);
void sync_annots_fini(struct sync_annots *set);
const struct sync_annot *sync_annots_find(const struct sync_annots *set, const char *entry,
                                          const char *userid);
/* Entries, user ids and values are the same; modseqs do not count. Both sorted. */
bool sync_annots_equal(const struct sync_annots *a, const struct sync_annots *b);

/* Read the list of the wire (NULL: none), adding to *set, sorted. With rec the virtual ones go into
 * its fields. IMAP_PROTOCOL_BAD_PARAMETERS when a key is missing. */
int sync_annots_parse(const struct dlist *list, struct sync_annots *set, struct index_record *rec);
/* A new list ANNOTATIONS at the end of parent, unless it would be empty. With rec the virtual ones
 * that a mailbox of that minor version keeps come last; without, every MODSEQ is 0. */
void sync_annots_print(const struct sync_annots *set, const struct index_record *rec,
                       uint32_t minor, struct dlist *parent);

/* What is stored, sorted, replacing *set: of a mailbox itself, of one message. */
int sync_annots_read_mailbox(const mbentry_t *mbentry, struct txn *txn, struct sync_annots *set);
int sync_annots_read_message(struct mailbox *mailbox, uint32_t uid, uint32_t minor,
                             struct sync_annots *set);
/* Make the stored set equal to *set, silently: change, add, delete. No rights, any entry name. */
int sync_annots_store_mailbox(struct txn *txn, const mbentry_t *mbentry,
                              const struct sync_annots *set);
int sync_annots_store_message(struct mailbox *mailbox, struct index_record *rec,
                              const struct sync_annots *set);

#endif
