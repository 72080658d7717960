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
 * With "conversations: no" every call is a successful no-op and state is NULL.
 */
#include "conv_codec.h" /* record forms, struct conv_status, struct conv_quota */
#include "mailbox.h"
#include "user.h"

struct conversations_state;

/* State of the owner of mailbox, opened at most once per transaction (exclusive
 * when the mailbox belongs to a txn, else shared and read-only; a missing file
 * reads as empty and is NOT created). The state belongs to the transaction or,
 * for reading, is freed with conversations_close. Shared mailboxes: *statep NULL. */
int conversations_open_mbox(struct mailbox *, struct conversations_state **statep);
int conversations_open_user(struct txn *txn, struct user_meta *, struct conversations_state **statep);
void conversations_close(struct conversations_state **statep);

/* One changed index record: old NULL = new message, new NULL = gone. content may
 * be NULL (then taken from the cache record when it is needed). Handbook 01 §5.8. */
int conversations_update_record(struct conversations_state *, struct mailbox *, const struct index_record *oldrec,
                                const struct index_record *newrec, bool allow_split);
/* CID of a new message (handbook 01 §5.9): sets rec->cid, internal flag SPLITCONVERSATION, message-id records. */
int conversations_assign_cid(struct conversations_state *, struct mailbox *, struct index_record *rec,
                             const struct buf *cacherecord);
/* Folder life. */
int conversations_add_mailbox(struct conversations_state *, const char *uniqueid, modseq_t modseq);
int conversations_remove_mailbox(struct conversations_state *, struct mailbox *);

/* F record of a folder / Q record. */
int conversation_getstatus(struct conversations_state *, const char *uniqueid, struct conv_status *);
int conversation_setstatus_modseq(struct conversations_state *, const char *uniqueid, modseq_t modseq, bool force);
int conversations_read_quota(struct conversations_state *, struct conv_quota *);

/* A live copy of this GUID on this partition of the user, to hard-link to: path in *path (caller frees) or IMAP_NOTFOUND. */
int conversations_find_guid(struct conversations_state *, const struct message_guid *, const char *partition, char **path);

/* Recompute B, F, G and Q of one user from the mailboxes (ctl_conversationsdb -R) in txn. */
int conversations_rebuild_user(struct txn *, struct user_meta *);

#endif
