/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CONVERSATIONS_H
#define INCLUDED_CONVERSATIONS_H
/*
 * conversations -- threads, GUID index, per-folder counts and quota by GUID of one user
 *
 * One database per user, found through a user_meta (user.h) and never by name.
 * Inside a transaction all changes of a user are folded in memory and written
 * once, at commit: B, F and Q records are read and stored once per transaction
 * however many messages it touches. Formats: handbook 01 §5.
 *
 * With "conversations: no", for shared mailboxes, for mailboxes in the DELETED
 * namespace and for the JMAP submission mailbox there is no state: the open
 * functions give NULL, and every other call takes NULL and does nothing.
 *
 * Errors are imap_err codes; 0 is success.
 */
#include "conv_codec.h" /* record forms, struct conv_status, struct conv_quota */
#include "mailbox.h"
#include "user.h"

struct conversations_state;

/*
 * State of the owner of mailbox, opened at most once per transaction (exclusive
 * when the mailbox belongs to a txn, else shared and read-only; a missing file
 * reads as empty and is NOT created). The state belongs to the transaction or,
 * for reading, is freed with conversations_close.
 */
int conversations_open_mbox(struct mailbox *mailbox, struct conversations_state **statep);
int conversations_open_user(struct txn *txn, struct user_meta *meta,
                            struct conversations_state **statep);
void conversations_close(struct conversations_state **statep);

/*
 * One changed index record: old NULL = new message, new NULL = gone. The cache record is
 * taken from the mailbox, so it must be staged before. Handbook 01 §5.8. check_limits: a copy too
 * many of one message is IMAP_CONVERSATION_GUIDLIMIT (not for replication and recounts); nothing
 * is changed then.
 */
int conversations_update_record(struct conversations_state *state, struct mailbox *mailbox,
                                const struct index_record *oldrec,
                                const struct index_record *newrec, bool check_limits);
/*
 * CID of a new message (handbook 01 §5.9): sets rec->cid, and for a conversation that was split
 * off the internal flag SPLITCONVERSATION and *basecid (else 0), which the caller stores as
 * annotation /vendor/cmu/cyrus-imapd/basethrid. Writes message-id records. A rec->cid that is set
 * already (replication) stays, and nothing is done.
 */
int conversations_assign_cid(struct conversations_state *state, struct mailbox *mailbox,
                             struct index_record *rec, const struct buf *cacherecord,
                             conversation_id_t *basecid);

/* ---- folder life ---- */
int conversations_add_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                              modseq_t modseq);
/* Every record goes; the F record stays with the modseq, the folder's number becomes free. */
int conversations_remove_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                                 modseq_t modseq);
/* The mailbox, still under its old name, is renamed within the user. */
int conversations_rename_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                                 const char *newname, modseq_t modseq);

/* ---- what clients ask for ---- */
/* The B record, borrowed until the state is closed; *conv NULL: there is none. */
int conversations_get(struct conversations_state *state, conversation_id_t cid,
                      const struct conversation **conv);
/* The flags that are counted, as index into struct conversation's counts. */
const strarray_t *conversations_counted_flags(const struct conversations_state *state);
/* Each mailbox of the user that has a copy of the message which is not expunged, once. A cb that does not return 0 ends it. */
int conversations_mailboxes_of(struct conversations_state *state, const struct message_guid *guid,
                               int (*cb)(const mbentry_t *mbentry, void *rock), void *rock);

/* ---- F and Q records ---- */
/* All zero for a folder without one. */
int conversation_getstatus(struct conversations_state *state, struct mailbox *mailbox,
                           struct conv_status *status);
/* Raises THREADMODSEQ; force sets it, lower too (replication). */
int conversation_setstatus_modseq(struct conversations_state *state, struct mailbox *mailbox,
                                  modseq_t modseq, bool force);
int conversations_read_quota(struct conversations_state *state, struct conv_quota *quota);

/*
 * A stored copy of this GUID among the user's mailboxes on the partition, to hard-link to: *path (the caller
 * frees) or IMAP_NOTFOUND. The message file was there when this was asked.
 */
int conversations_find_guid(struct conversations_state *state, const struct message_guid *guid,
                            const char *partition, char **path);
/* The conversation in which the user has copies of this message; 0: none. */
int conversations_find_cid(struct conversations_state *state, const struct message_guid *guid,
                           conversation_id_t *cid);

/*
 * Forgets message-ids last added to before that time (UTC seconds); the counts are added to *seen
 * and *removed. Inside a transaction.
 */
int conversations_prune(struct conversations_state *state, time_t before, size_t *seen,
                        size_t *removed);

/*
 * Recompute B, F, G and Q of one user from the mailboxes. Message-id records stay, and missing ones are added; counted
 * flags stay; THREADMODSEQ never falls. Inside txn, which may be aborted afterwards to compare only. cb (may be
 * NULL) hears the name of each mailbox that is counted.
 */
typedef void conv_mailbox_cb(const char *mboxname, void *rock);
int conversations_rebuild_user(struct txn *txn, struct user_meta *meta, conv_mailbox_cb *cb,
                               void *rock);
/*
 * The same in a transaction of its own, and others are not kept waiting while it counts: the user's lock is held only for what
 * changed meanwhile. IMAP_MAILBOX_NONEXISTENT: no such user.
 */
int conversations_rebuild_now(const char *userid, conv_mailbox_cb *cb, void *rock);

/*
 * Compares the database with one rebuilt from the mailboxes. The txn must be aborted afterwards. cb
 * (may be NULL) is called for each record that differs: CONV_AUDIT_REAL and CONV_AUDIT_TEMP for its two values.
 */
enum conv_audit_kind { CONV_AUDIT_REALONLY, CONV_AUDIT_TEMPONLY, CONV_AUDIT_REAL, CONV_AUDIT_TEMP };
typedef void conv_audit_cb(enum conv_audit_kind kind, const struct buf *key, const struct buf *val,
                           void *rock);
int conversations_audit_user(struct txn *txn, struct user_meta *meta, conv_mailbox_cb *mailbox_cb,
                             conv_audit_cb *cb, void *rock, size_t *differences);

/*
 * Changes the conversation ids of all messages of a user: takes them away; gives new ones to messages that have none
 * (§5.9); moves what a conversation has beyond conversations_max_thread to another one. Its own transactions. dryrun:
 * only counts. *changed: messages. Counts everything anew at the end.
 */
enum conv_ids_change { CONV_IDS_ZERO, CONV_IDS_ASSIGN, CONV_IDS_SPLIT };
int conversations_change_ids(const char *userid, enum conv_ids_change change, bool dryrun,
                             size_t *changed);

/* ---- as a text (ctl_conversationsdb) ---- */
/* Every record in the order of the keys. */
int conversations_dump(struct conversations_state *state, txn_db_cb *cb, void *rock);
/* Removes every record; afterwards records are loaded as they are. Nothing else may be done with this state. */
int conversations_clear(struct conversations_state *state);
int conversations_load(struct conversations_state *state, const char *key, size_t keylen,
                       const char *val, size_t vallen);
/* Has a folder two numbers? */
/* Does it know folders by name, as old ones do? NULL: no. */
bool conversations_isbyname(const struct conversations_state *state);
bool conversations_has_duplicate_folders(const struct conversations_state *state);

/* ---- the files of a user whom 3.6.1 split (conversations_merge.c, handbook 01 §5.3) ---- */
/* Paths of a conversations database and counters that stand on the legacy path beside those of the uniqueid. */
int conversations_find_second(struct user_meta *meta, strarray_t *paths);
struct conv_merged {
    size_t msgids;   /* that were new */
    bool damaged;    /* not all of the second files could be read (logged) */
    strarray_t kept; /* where the second files are now */
};
void conv_merged_fini(struct conv_merged *done);
/*
 * What only the second files know (message-ids, modseqs) joins the first ones, all else is counted anew; the second
 * files go to <configdirectory>/lost+found. Of damaged ones what can be read is taken. *done is filled in any case.
 */
int conversations_merge_second(struct txn *txn, struct user_meta *meta, struct conv_merged *done);
/*
 * For the INBOX of somebody who is about to use his mailboxes: the same, in a transaction of its own, if there is
 * something to merge; costs two stats if not. What was done, or why it could not be, is logged.
 */
void conversations_mend_split(const mbentry_t *inbox);

#endif
