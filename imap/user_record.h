/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_RECORD_H
#define INCLUDED_USER_RECORD_H
/*
 * user_record -- users.db: the users of this store, each with a record of his own (doc/users.md)
 *
 * mailboxes.db decides who exists: a user is whoever has a live INBOX, and the record that counts is the one of its
 * uniqueid. So a store that 3.6.1 has changed meanwhile is read rightly before anybody brings the file in line. What only
 * the record knows: the states disabled, moving-in and moved, reasons, dates, former names.
 *
 * Changes are staged in the transaction that changes the INBOX, under the user's lock. What can't be read refuses nobody
 * (logged); damage met by a change sets the file aside (TXN_DB_DERIVED).
 */
#include "mbentry.h"
#include "txn.h"
#include "user_codec.h"

#define USERS_DB_BACKEND "twoskip"

/* <configdirectory>/users.db; the caller frees. */
char *user_record_path(void);
int user_record_db_open(struct txn *txn, struct txn_db **dbp);

/* ---- reading; *recp is a copy ---- */
/*
 * The user of this name, as mailboxes.db has it. Who has no record is active, created at 0. Without an INBOX only who is
 * moving in or has moved. IMAP_NOTFOUND.
 */
int user_record_lookup(const char *userid, struct txn *txn, struct user_record **recp);
/* The same, with the entry of the live INBOX in hand. */
int user_record_of_inbox(const mbentry_t *inbox, struct txn *txn, struct user_record **recp);
/* Is the uniqueid of this INBOX its own? */
bool user_record_owns_id(const mbentry_t *inbox, struct txn *txn);
/* The tombstone of a user: with this id, or (NULL) the one deleted last. IMAP_NOTFOUND. */
int user_record_lookup_deleted(const char *userid, const char *id, struct txn *txn, struct user_record **recp);
/* Records as the file has them, whatever mailboxes.db says. By name: no tombstones. IMAP_NOTFOUND; of what is damaged, too. */
int user_record_by_id(struct txn *txn, const char *id, struct user_record **recp);
int user_record_by_name(struct txn *txn, const char *userid, struct user_record **recp);
/* Every record of the file as it stands, in order of the ids. What is none is told by rec NULL, with its bytes. */
typedef int user_record_cb(const char *key, size_t keylen, const struct user_record *rec, void *rock);
int user_record_foreach(struct txn *txn, user_record_cb *cb, void *rock);
/* Users that are moving in or out, by name; nothing if the file can't be read. */
void user_record_hidden(strarray_t *userids);
bool user_record_is_hidden(const char *userid);

/* ---- who may come in ---- */
enum user_refusal {
    USER_WELCOME,
    USER_NOT_NOW, /* another server has him, or will, or this one will: his client tries again and asks nobody */
    USER_NOT_AT_HOME, /* the same, of a pair: who only reads for him may stay (imap_session.h, by_admin) */
    USER_NOT_HERE /* until somebody does something about it */
};
/* If he may not, *text (replaced) says why. */
enum user_refusal user_record_refuses(const char *userid, struct buf *text);
/* The same for who is in already, between his commands: looked up once a second. *asked: when; 0 at first. */
enum user_refusal user_record_refuses_now(const char *userid, time_t *asked, struct buf *text);
/* The gate of a session that is no admin's (txn_set_gate): IMAP_USER_MOVING of who is moving, or has moved; IMAP_USER_ELSEWHERE. */
int user_record_gate(const char *userid, void *rock);
/* May he be made by autocreate? Not who is moving in, nor who lives elsewhere. */
bool user_record_allows_autocreate(const char *userid);
/*
 * Is mail for him taken? 0, IMAP_MAILBOX_DISABLED (later, perhaps), IMAP_USER_DISABLED (never). IMAP_MAILBOX_MOVED: he is
 * coming or gone, and there is no INBOX here. IMAP_USER_ELSEWHERE: the other server of the pair takes it.
 */
int user_record_delivery(const char *userid);

/* ---- writing, under the user's lock (those of both names when he gets another) ---- */
/* Stages rec with its index keys in place of old (NULL: none). */
int user_record_put(struct txn *txn, const struct user_record *old, const struct user_record *rec);
/* A tombstone goes. */
int user_record_remove(struct txn *txn, const struct user_record *rec);
/*
 * The entry of an INBOX changes from old to entry (either NULL: none): his record follows. Called by
 * mboxlist_update_entry() and mboxlist_delete_entry(), so no way of changing a user passes it by.
 */
int user_record_follow(struct txn *txn, const char *inbox, const mbentry_t *old, const mbentry_t *entry);
/* What undelete needs: limits and subscriptions, for the tombstone that this transaction will leave. */
int user_record_keep(struct txn *txn, const char *userid, const struct user_record *kept);
/* He has gone to this server: his tombstone, or his record, becomes "moved". */
int user_record_set_moved(struct txn *txn, const char *userid, const char *server);

/* ---- for user_derive: what users.db says against mailboxes.db ---- */
/* Brings all that users.db has of this name and of his INBOX in line; *changed: something was staged. */
int user_record_reconcile(struct txn *txn, const char *userid, bool *changed);

#endif
