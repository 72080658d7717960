/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CONVERSATIONS_INT_H
#define INCLUDED_CONVERSATIONS_INT_H
/*
 * conversations_int -- the state of one user's conversations, between its rooms
 *
 * What is kept while the state lives: B records by CID, F records by folder key, the
 * copies of a message by GUID, the quota. Dirty ones are stored by conv_flush() from the
 * commit hook; G and message-id records are staged at once.
 */
#include <sys/types.h>

#include "conversations.h"
#include "rfc822_addr.h"
#include "hash.h"
#include "strarray.h"

#define CONV_NOFOLDER UINT32_MAX

/* A B record while it is worked on; conv NULL: there is none. */
struct conv_entry {
    conversation_id_t cid;
    struct conversation *conv;
    bool stored; /* the database has it */
    bool dirty;
};

struct conv_folderstatus {
    struct conv_status status;
    bool dirty;
};

/* The copies of one message: its G records without a part. */
struct conv_copies {
    struct conv_guidrec *recs;
    size_t n, alloc;
};

struct conversations_state {
    struct txn *txn; /* NULL: reading */
    struct txn_db *db;
    struct user_meta *meta; /* owned */
    strarray_t counted_flags;
    strarray_t folders; /* number -> uniqueid (byname: internal name); NULL: free */
    bool byname;        /* an old database that knows folders by name */
    bool folders_dirty;
    bool counted_stored; /* the database has $COUNTED_FLAGS */
    bool changed;        /* something was stored in this transaction */
    bool recount;        /* all is being recounted: no events, no counters */
    hash_table entries;  /* CID as text -> struct conv_entry */
    hash_table statuses; /* folder key -> struct conv_folderstatus */
    hash_table copies;   /* GUID as text -> struct conv_copies */
    struct conv_quota quota;
    bool quota_loaded, quota_dirty;
    bool told_lost; /* that it is new beside messages that are not */
    bool trash_known;
    char *trash; /* key of the Trash folder; NULL: none */
};

/* Does the mailbox take part in its owner's conversations? */
bool conv_takes_part(const struct mailbox *mailbox);
/* An empty state of the same user, with the same counted flags, that is in memory alone. */
struct conversations_state *conv_state_scratch(const struct conversations_state *state);
void conv_state_free(struct conversations_state *state);

/* How the database calls a folder: uniqueid, or in old ones the name. */
const char *conv_folder_key(const struct conversations_state *state, const struct mailbox *mailbox);
/* Its number; CONV_NOFOLDER when it has none and create is false. */
uint32_t conv_folder_number(struct conversations_state *state, const char *key, bool create);
/* The user's Trash by key or number. */
const char *conv_trash_key(struct conversations_state *state);
uint32_t conv_trash_number(struct conversations_state *state);

/* The entry of a CID, read at the first use; IMAP_MAILBOX_BADFORMAT for a damaged record. */
int conv_entry_get(struct conversations_state *state, conversation_id_t cid,
                   struct conv_entry **entryp);
int conv_status_get(struct conversations_state *state, const char *key,
                    struct conv_folderstatus **statusp);
int conv_quota_get(struct conversations_state *state);

/* All copies of a GUID; old keys are taken over (for writing). */
int conv_copies_get(struct conversations_state *state, const struct message_guid *guid,
                    struct conv_copies **copiesp);
/* The record of that folder and uid, or NULL. */
struct conv_guidrec *conv_copies_find(struct conv_copies *copies, uint32_t folder, uint32_t uid);
/* Adds, changes (g) or removes (live false) the copy, in memory and in the database. */
int conv_copies_set(struct conversations_state *state, struct conv_copies *copies,
                    const struct conv_guidrec *g, bool live);
/* Stores or deletes a G record as it is. */
int conv_guidrec_store(struct conversations_state *state, const struct conv_guidrec *g);
int conv_guidrec_delete(struct conversations_state *state, const struct conv_guidrec *g);
/* Replaces a G record of the old form by one key per item. */
int conv_guidrec_takeover(struct conversations_state *state, const struct message_guid *guid);

/* Stores or deletes a key. */
int conv_store(struct conversations_state *state, const struct buf *key, const struct buf *val);
int conv_delete(struct conversations_state *state, const struct buf *key);

/* Everything dirty into the database. */
int conv_flush(struct conversations_state *state);
/* Forgets all that was read and not yet stored. */
void conv_forget(struct conversations_state *state);

/* ---- message-ids (conversations_cid.c) ---- */
/* The message-ids of the record lead to the conversation base. */
int conv_note_msgids(struct conversations_state *state, struct mailbox *mailbox,
                     const struct index_record *rec, conversation_id_t base);
/* The message-id leads to these conversations, too. One that is new to it keeps the later stamp of both; *addedp (or NULL): there was one. */
int conv_merge_msgid(struct conversations_state *state, const char *msgid, size_t msgidlen, const struct conv_msgid *more,
                     bool *addedp);

/* ---- sums of a B record (conversations_sums.c) ---- */
/* The item of the folder, made if missing. */
struct conv_folder *conv_folder_item(struct conversation *conv, uint32_t number);
/* The sender's number of messages changes by delta; lastseen is the Date of the message. */
void conv_sender_add(struct conversation *conv, const struct rfc822_address *addr, time_t lastseen,
                     int delta);
/* The thread item's number of messages changes by delta; its date becomes that of the copy. */
void conv_thread_add(struct conversation *conv, const struct message_guid *guid,
                     time_t internaldate, int delta);
/* *n changes by delta, and stays at 0 instead of falling below. */
void conv_add(uint32_t *n, int delta);

/* ---- the place where a full conversation goes on (conversations_split.c) ---- */
/* *cid: where base goes on, 0: it was never split. */
int conv_split_lookup(struct conversations_state *state, conversation_id_t base,
                      conversation_id_t *cid);
int conv_split_store(struct conversations_state *state, conversation_id_t base,
                     conversation_id_t cid);

#endif
