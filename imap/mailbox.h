/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_H
#define INCLUDED_MAILBOX_H
/*
 * mailbox -- one mailbox: cyrus.header, cyrus.index, cyrus.cache and its spool
 *
 * A mailbox is read under the shared namespace lock of its owner and changed
 * only inside a transaction (txn.h), which holds that lock exclusively. Nothing
 * here writes a file: a change is staged in the handle, seen by its reads, and
 * becomes one part of the journal record when the transaction commits. An
 * aborted transaction leaves the files as they were.
 *
 * Formats: handbook 02 §2-§5. UIDs rise strictly; recno counts from 1 and
 * includes expunged records, which stay until a repack.
 *
 * Errors are imap_err codes: IMAP_MAILBOX_NONEXISTENT, IMAP_MAILBOX_BADFORMAT,
 * IMAP_MAILBOX_CHECKSUM, IMAP_IOERROR, IMAP_QUOTA_EXCEEDED, ... 0 is success.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "mailbox_header.h" /* struct mailbox_header: name, uniqueid, type, quotaroot, acl, flag names */
#include "mailbox_index.h"  /* struct index_header, struct index_record */
#include "mbentry.h"
#include "strarray.h"
#include "txn.h"

struct mailbox;
struct seqset;
struct conversations_state;
struct message_content;

/* ---- open and close ---- */

/* Open for reading: takes the owner's namespace lock shared and maps the index.
 * name is an internal name. *mboxp is set only on success. */
int mailbox_open_irl(const char *name, struct mailbox **mboxp);

/* Open for writing inside txn (takes the owner's namespace lock exclusively, for
 * as long as txn lives). The handle belongs to txn: it is closed with it. A
 * second open of the same mailbox in one txn gives the same handle. */
int mailbox_open_iwl(struct txn *txn, const char *name, struct mailbox **mboxp);

/* The same from an entry already looked up (no second look-up by name). */
/* A second name of one directory (3.6.1 made such) is refused by all of these: IMAP_MAILBOX_MOVED, with an alarm in the log. */
int mailbox_open_mbentry(const mbentry_t *mbentry, struct mailbox **mboxp);
int mailbox_open_mbentry_iwl(struct txn *txn, const mbentry_t *mbentry, struct mailbox **mboxp);
/*
 * The name of the mailbox to which the directory of entry belongs, when that is another live one with its uniqueid;
 * malloc'ed, else NULL.
 */
char *mailbox_directory_owner(const mbentry_t *entry, struct txn *txn);

/* Close a handle opened for reading; for one that belongs to a txn: a no-op
 * that sets *mboxp to NULL. */
void mailbox_close(struct mailbox **mboxp);

/* Give the shared lock back but keep the view: header, number and order of records, mapped
 * cache. What never changes of a record (uid, guid, size, dates, cache bytes, message
 * file) stays readable; its flags and modseq may be read newer than the view.
 * mailbox_relock_read() takes the lock again and brings the view up to date; *changedp (may be
 * NULL) tells whether HIGHESTMODSEQ, UIDNEXT or the generation moved (after a repack recnos are
 * others). A deleted or renamed mailbox gives IMAP_MAILBOX_NONEXISTENT. */
void mailbox_unlock(struct mailbox *mailbox);
/* Lets go of mapped and cached bytes of an unlocked handle: nothing may be read before the next relock. */
void mailbox_rest(struct mailbox *mailbox);
int mailbox_relock_read(struct mailbox *mailbox, bool *changedp);

/* LSN of the newest commit this view includes; wait for it (txn_wait) before
 * telling a client about the view. */
uint64_t mailbox_seen_lsn(const struct mailbox *mailbox);

/* ---- facts ---- */
const char *mailbox_name(const struct mailbox *);      /* internal name */
const char *mailbox_uniqueid(const struct mailbox *); /* NULL: a legacy mailbox that has none */
const char *mailbox_userid(const struct mailbox *);    /* owner; NULL: a shared mailbox */
const char *mailbox_partition(const struct mailbox *);
const char *mailbox_acl(const struct mailbox *);       /* "id\trights\t..." */
const char *mailbox_quotaroot(const struct mailbox *); /* NULL: none */
uint32_t mailbox_mbtype(const struct mailbox *);       /* MBTYPE_* */
const mbentry_t *mailbox_mbentry(const struct mailbox *);
const struct index_header *mailbox_index_header(const struct mailbox *); /* with staged changes */
const strarray_t *mailbox_flagnames(const struct mailbox *);             /* slot -> name or NULL */
bool mailbox_is_writable(const struct mailbox *);
struct txn *mailbox_txn(const struct mailbox *);       /* NULL: opened for reading */

/* ---- records ---- */
uint32_t mailbox_num_records(const struct mailbox *);
/* Fetch record recno (1-based), staged changes included. A record whose CRC is
 * wrong: IMAP_MAILBOX_CHECKSUM, logged once; others stay readable. */
int mailbox_read_record(struct mailbox *, uint32_t recno, struct index_record *rec);
/*
 * Find by UID (binary search); IMAP_NOTFOUND if there is none, IMAP_MAILBOX_CHECKSUM if it is, or may be, that of a record that can't
 * be read.
 */
int mailbox_find_uid(struct mailbox *, uint32_t uid, struct index_record *rec);
/* First recno whose UID is at least uid; num_records + 1: none. Records that can't be read may lead it astray. */
uint32_t mailbox_lower_bound(const struct mailbox *, uint32_t uid);
/*
 * Messages whose records can't be read; borrowed until the lock is given back. IMAP_MAILBOX_CHECKSUM: there are some, and it can't
 * be told which. Expunged ones are left out: *uids may be empty.
 */
int mailbox_damaged_uids(struct mailbox *, const struct seqset **uids);
/* Bytes of the file of such a message. */
int mailbox_damaged_size(struct mailbox *, uint32_t uid, uint32_t *size);

/* Iterate over records with uid > since_uid in UID order.
 * flags: MAILBOX_ITER_*. Return of the callback <> 0 stops and is returned. */
#define MAILBOX_ITER_SKIP_EXPUNGED 1
#define MAILBOX_ITER_SKIP_UNLINKED 2
/* Records that can't be read are left out, and logged. With this, IMAP_MAILBOX_CHECKSUM follows at the end, unless the header's
 * number of messages says that they are expunged ones. */
#define MAILBOX_ITER_STRICT 4
typedef int mailbox_iter_cb(struct mailbox *, const struct index_record *rec, void *rock);
int mailbox_foreach(struct mailbox *, uint32_t since_uid, modseq_t since_modseq, unsigned flags,
                    mailbox_iter_cb *cb, void *rock);

/* Message file, mapped read-only into buf (buf_free unmaps). Sees messages
 * staged in the same txn. Errors are logged: IMAP_IOERROR, it is missing or can't be read;
 * IMAP_MESSAGE_DAMAGED, it has another size, or its bytes are not those of the GUID. How often they are compared the
 * options message_verify and message_verify_age say (doc/checksums.md). */
int mailbox_map_record(struct mailbox *, const struct index_record *rec, struct buf *buf);
/* The same without looking at the GUID: for repair. */
int mailbox_map_bytes(struct mailbox *, const struct index_record *rec, struct buf *buf);
/* Are these the bytes of the GUID? IMAP_MESSAGE_DAMAGED, logged. */
int mailbox_verify_bytes(struct mailbox *, const struct index_record *rec, const struct buf *bytes);
/* These bytes, which must have the GUID, become the message file of a record that stays as it is; writable handle. base is borrowed
 * until the transaction ends. */
int mailbox_replace_file(struct mailbox *, const struct index_record *rec, const char *base, size_t len);
/* Path of the message file (valid until the next call on this handle). */
const char *mailbox_record_fname(struct mailbox *, const struct index_record *rec);

/* Cache record of rec as a view of mapped bytes; a missing or damaged one is
 * rebuilt in memory from the message file (and staged if the handle is
 * writable). Valid until the next call on this handle. Parse items with message_cache.h. */
int mailbox_cacherecord(struct mailbox *, const struct index_record *rec, struct buf *view);

/* Appends the record of these bytes of a message as IMAP4rev2 has it, for one answer: never stored (RFC 9051 §7.5.2). */
void mailbox_cache_rev2(const char *base, size_t len, struct buf *dst);

/* ---- changes (handle opened with mailbox_open_iwl) ---- */

/* Take the next modseq (0: an error, logged) / the transaction's time (handbook 02 §3.7). */
modseq_t mailbox_next_modseq(struct mailbox *);
time_t mailbox_txn_time(const struct mailbox *);

/* Replace the record with rec->uid. MAILBOX_SILENT keeps rec->modseq and
 * rec->last_updated (replication); otherwise the next modseq is taken and
 * written back to *rec. Header counts, CRCs, quota and conversations follow. A record that
 * becomes UNLINKED loses its files and annotations. An expunged record stays expunged
 * (IMAP_MAILBOX_NOTSUPPORTED). */
#define MAILBOX_SILENT 1
#define MAILBOX_REPAIR 2 /* for reconstruct: the size may be put right, the GUID proves the message */
int mailbox_rewrite_record(struct mailbox *, struct index_record *rec, unsigned flags);

/* Append a record; the caller stages the file (append.h does both).
 * rec->uid 0 = next UID. cache is the encoded cache record, of rec->cache_version (0: the present
 * one); NULL: none. recno, cache fields and missing dates of *rec are set. Conversation id:
 * assigned unless rec->cid is set or MAILBOX_SILENT is given, which leaves savedate and createdmodseq alone too. */
int mailbox_append_record(struct mailbox *, struct index_record *rec, const struct message_content *content,
                          const struct buf *cache, unsigned flags);

/* Slot of a user flag; create adds it (IMAP_USERFLAG_EXHAUSTED above the limit;
 * all_slots as replication may use all 128). */
int mailbox_user_flag(struct mailbox *, const char *name, int *slot, bool create, bool all_slots);

/* The name of a slot goes; no record may have the flag. */
int mailbox_remove_user_flag(struct mailbox *, int slot);

/* cyrus.annotations is there, or will be. */
void mailbox_note_annotations(struct mailbox *);
/* The annotations of a live record changed: header CRC and quota_annot_used follow (annotate.h
 * calls this); rec NULL: those of the mailbox itself, which count for quota_annot_used only. */
int mailbox_annot_delta(struct mailbox *, const struct index_record *rec, const struct annot_sum *oldsum,
                        const struct annot_sum *newsum);

/* Set header fields in one call; only what is flagged changes. options: the bits P S D A become as
 * given, the NEEDS_ bits are added. highestmodseq and last_uid never fall, but with may_lower, and then not
 * below those of the records. */
struct mailbox_header_update {
    bool set_recent, set_append, set_pop3, set_pop3_after, set_uidvalidity, set_options, set_modseqs, set_lastuid;
    bool may_lower;
    uint32_t recentuid; time_t recenttime;
    time_t last_appenddate, pop3_last_login, pop3_show_after;
    uint32_t uidvalidity, options, last_uid;
    modseq_t highestmodseq, createdmodseq; /* 0: leave */
};
int mailbox_update_header(struct mailbox *, const struct mailbox_header_update *);
int mailbox_set_acl(struct mailbox *, const char *acl);             /* header copy only; mboxlist has the truth */
int mailbox_set_quotaroot(struct mailbox *, const char *quotaroot); /* moves usage between the roots */
/* Another name, partition or type. When the place of the files changes by that (legacy paths,
 * another partition), they move. Conversations follow: removed when the new name is DELETED or of another user,
 * added there, renamed else; a user who is renamed with his INBOX keeps them. Not the quota root
 * (mailbox_set_quotaroot), no modseq (mailbox_next_modseq). A message of which the other user has copies
 * already takes their conversation id, unless MAILBOX_SILENT: then the master tells it. */
int mailbox_set_name(struct mailbox *, const mbentry_t *newentry, unsigned flags);
/* Its header, in which a rename had not arrived, is written as it was read (mboxlist_pending.h). Nobody is told. */
int mailbox_follow_name(struct mailbox *);
/* Recompute counts and sync CRCs from the records. */
int mailbox_recalc_counters(struct mailbox *);

/* Expunge rec (sets the flag, drops it from the counts); file and record follow
 * expunge_mode (handbook 02 §5.4). */
int mailbox_expunge_record(struct mailbox *, struct index_record *rec, unsigned flags);
/* For repair: takes a record out that can't be read or makes no sense (it goes at the next repack,
 * its file stays). Counts are wrong until mailbox_recalc_counters. */
int mailbox_wipe_record(struct mailbox *, uint32_t recno);

/* Sync CRCs of the mailbox as staged: basic and annot (handbook 02 §3.6). */
uint32_t mailbox_sync_crc_basic(const struct mailbox *);
uint32_t mailbox_sync_crc_annot(const struct mailbox *);

/* ---- life (called by mboxlist only) ---- */
struct mailbox_create_args {
    const mbentry_t *mbentry; /* name, uniqueid, partition, acl, type: all set by the caller */
    const char *quotaroot;    /* NULL: none */
    uint32_t options;         /* OPT_* bits */
    uint32_t uidvalidity;     /* 0: next of the user */
    modseq_t createdmodseq, highestmodseq; /* 0: next of the user */
    bool from_sync;           /* take numbers as given, raise counters only */
};
int mailbox_create(struct txn *txn, const struct mailbox_create_args *args, struct mailbox **mboxp);
/* Remove files (lazily) and derived data; the entry is the caller's affair. */
int mailbox_delete(struct mailbox *);
/* Repack at commit: drop UNLINKED records that have stayed long enough (option expunge_tombstones), rewrite index and cache.
 * Without room for them it is left for another time. */
int mailbox_repack(struct mailbox *);
/* Would a repack take away an UNLINKED record, or the cache record of one? */
bool mailbox_needs_purge(struct mailbox *);
/* The index becomes one of that minor version, by a repack at the commit; 0: MAILBOX_MINOR_VERSION. Fields that a
 * version lacks are annotations there, and move. Versions from 12 on are written, 6 to 10 only read: such a
 * mailbox takes no other change before. The same version: a no-op. IMAP_MAILBOX_NOTSUPPORTED: not a version that
 * is written; IMAP_MAILBOX_CHECKSUM and others: a record can't be read (logged), reconstruct first. On an error
 * abort the transaction. Handbook 02 §3.4. */
int mailbox_set_version(struct mailbox *, int version);

/* ---- is a message seen? the one place that knows (handbook 02 §5.3) ---- */
struct seen_view; /* a user's view of \Seen and \Recent in one mailbox */
int seen_view_open(struct mailbox *, const char *userid, struct seen_view **viewp);
bool seen_view_isseen(const struct seen_view *, const struct index_record *rec);
bool seen_view_isrecent(const struct seen_view *, const struct index_record *rec);
uint32_t seen_view_recentuid(const struct seen_view *);
/* Stage: set/clear \Seen of rec for this user (rewrites the record or the user's seen.db). */
int seen_view_set(struct seen_view *, struct mailbox *writable, struct index_record *rec, bool seen, unsigned flags);
/* Stage: remember that all UIDs up to uid were shown to the user. */
int seen_view_set_recent(struct seen_view *, struct mailbox *writable, uint32_t uid);
int seen_view_refresh(struct seen_view *, struct mailbox *);
bool seen_view_internal(const struct seen_view *); /* state lives in the index (owner, shared seen) */
/* Whose seen.db is written; NULL: none, internal. seen_view_set and _set_recent lock that user, so a
 * transaction that may need it takes both users with txn_lock_users first (else: IMAP_AGAIN). */
const char *seen_view_userid(const struct seen_view *);
/* System flags of a record, with \Seen as the user has it. */
uint32_t seen_view_flags(const struct seen_view *, const struct index_record *rec);
/*
 * The same without a view, for a record that is to be appended (APPEND, COPY). Sets or clears its \Seen; true: that
 * is not where this user's state lives, so mailbox_set_seen() has to be called when the record has its UID.
 */
bool mailbox_seen_in_record(const struct mailbox *, const char *userid, bool seen, struct index_record *rec);
int mailbox_set_seen(struct mailbox *writable, const char *userid, uint32_t uid);
void seen_view_free(struct seen_view **viewp);

#endif
