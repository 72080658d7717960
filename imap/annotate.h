/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_ANNOTATE_H
#define INCLUDED_ANNOTATE_H
/*
 * annotate -- annotations of the server, of mailboxes and of messages
 *
 * Server and mailbox annotations live in annotations.db, those of messages in
 * the mailbox's cyrus.annotations (handbook 01 §7.5, §7.6). Entries are names as
 * stored ("/comment"); userid "" is the shared value. The owner's private value
 * is stored under a token; callers always see and give real user ids.
 */
#include "mailbox.h"

struct annotation {
    const char *entry, *userid; /* userid "": shared */
    struct buf value;           /* view */
    modseq_t modseq;
};
typedef int annotate_cb(const char *mboxname, uint32_t uid, const struct annotation *, void *rock);

/* uid 0: annotations of the mailbox itself (mbentry NULL: of the server); entry and userid NULL: all. */
int annotatemore_foreach(const mbentry_t *mbentry, const char *entry, const char *userid, struct txn *txn,
                         annotate_cb *cb, void *rock);
int annotatemore_lookup(const mbentry_t *mbentry, const char *entry, const char *userid, struct txn *txn, struct buf *value);
/* value NULL or empty: remove. Raises modseqs, logs the event. MAILBOX_SILENT: neither. */
int annotatemore_write(struct txn *, const mbentry_t *mbentry, const char *entry, const char *userid,
                       const struct buf *value, unsigned flags);

/* Where a message began its conversation, when that was split (handbook 01 §5.9). */
#define ANNOT_BASETHRID "/vendor/cmu/cyrus-imapd/basethrid"
int annotate_msg_foreach(struct mailbox *, uint32_t uid, annotate_cb *cb, void *rock); /* uid 0: all messages */
int annotate_msg_lookup(struct mailbox *, uint32_t uid, const char *entry, const char *userid, struct buf *value);
/* modseq 0: next of the mailbox. Keeps header counts and the annotation CRC. value NULL or empty:
 * remove. The caller rewrites the record afterwards, so that clients see a change. */
int annotate_msg_write(struct mailbox *, struct index_record *rec, const char *entry, const char *userid,
                       const struct buf *value, modseq_t modseq);
/* Shared values and the private ones of userid, to a message that has its record. */
int annotate_msg_copy(struct mailbox *src, uint32_t srcuid, struct mailbox *dst, uint32_t dstuid, const char *userid);
/* All annotations of everybody, also those of an expunged message or of a UID without a record, to another message of the mailbox. */
int annotate_msg_copy_all(struct mailbox *, uint32_t fromuid, struct index_record *to);
/* Clean-up of a message that is gone: records and tombstones. */
int annotate_msg_delete(struct mailbox *, uint32_t uid);
/* For mailbox_set_version: a field of the record becomes a shared annotation, or (value NULL) goes without a
 * tombstone. The header's counts are the caller's affair. */
int annotate_msg_set_field(struct mailbox *, const struct index_record *rec, const char *entry,
                           const struct buf *value);
/* Sum of the CRCs and sizes of all annotations of one message, for index_header_apply_delta. */
int annotate_msg_sum(struct mailbox *, uint32_t uid, struct annot_sum *sum);
/* Its records in annotations.db; cyrus.annotations goes with the mailbox's files. */
int annotate_delete_mailbox(struct txn *, struct mailbox *);

/* A set of annotations in memory (APPEND ANNOTATION, replication). */
struct entryattlist {
    struct entryattlist *next;
    char *entry, *userid;
    struct buf value;
    modseq_t modseq;
};
void entryattlist_add(struct entryattlist **, const char *entry, const char *userid, const struct buf *value, modseq_t modseq);
void entryattlist_free(struct entryattlist **);

#endif
