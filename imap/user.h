/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_H
#define INCLUDED_USER_H
/*
 * user -- where a user's metadata lives
 *
 * A user_meta is made from the mailboxes.db entry of the user's INBOX, which
 * carries the uniqueid (or the legacy flag). Every per-user file (conversations,
 * counters, seen, sub, ...) is opened from a user_meta, never from a bare user
 * name, so one user can not have two sets of files (handbook 01 §5.2, §5.3).
 * A tombstone gives a user_meta only if the I record of its uniqueid still has
 * this name, or that of his deleted INBOX. Within one transaction a user keeps the meta that was found first, so the
 * files of a user whose mailboxes are being renamed stay the same to the end. A user without
 * any entry has none: IMAP_MAILBOX_NONEXISTENT; seen
 * state of such a user (who only reads others' mailboxes) uses
 * user_meta_legacy().
 */
#include "counters_codec.h" /* struct counters, COUNTER_FOLDER ... */
#include "mbentry.h"
#include "seen_codec.h" /* struct seendata */
#include "strarray.h"
#include "txn.h"

struct user_meta;

int user_meta_from_entry(const mbentry_t *inbox, struct user_meta **metap); /* entry of the INBOX (also reserved) */
int user_meta_lookup(const char *userid, struct txn *txn, struct user_meta **metap); /* looks the INBOX up, allow all */
/* Owner of a mailbox; shared mailboxes: a meta with userid NULL (shared.counters only). */
int user_meta_for_mailbox(const mbentry_t *mbentry, struct txn *txn, struct user_meta **metap);
int user_meta_legacy(const char *userid, struct user_meta **metap);
/* As user_meta_lookup, but a user without INBOX gets his legacy files (seen, sub). */
int user_meta_lookup_or_legacy(const char *userid, struct txn *txn, struct user_meta **metap);
/* The INBOX of this user got another identity in this transaction: look it up anew. */
/* When the INBOX of the one has become that of the other: in this transaction the files of both are the same, so that other mailboxes
 * can follow one by one. */
int user_meta_follow(struct txn *txn, const char *olduser, const char *newuser);
void user_meta_forget(struct txn *, const char *userid);
const char *user_meta_userid(const struct user_meta *);   /* NULL: shared */
const char *user_meta_uniqueid(const struct user_meta *); /* NULL: legacy */
/* Absolute path of the file with this suffix: "conversations", "counters", "seen", "sub", ... Valid until the next call. */
const char *user_meta_path(struct user_meta *, const char *suffix);
/* Directory of his Sieve scripts; sievedir must be set. */
int user_meta_sievedir(const struct user_meta *, struct buf *out);
/* The files that a user may have, by suffix, and what becomes of each; the last one has no suffix. */
enum {
    USER_FILE_RESET = 1,    /* goes with his data also when he himself stays (UNUSER) */
    USER_FILE_ADOPT = 2,    /* of one without INBOX: becomes that of his first */
    USER_FILE_RENAME = 4,   /* at the legacy place: follows a new name; the others are made anew from his mailboxes */
    USER_FILE_REPLACE = 16, /* goes to the INBOX that comes into the place of his */
    USER_FILE_RELOCATE = 8, /* at the legacy place: is moved as it is to that of the uniqueid */
};
struct user_file {
    const char *suffix;
    unsigned flags;
};
extern const struct user_file user_files[];
/* Stage the move of those with the flag that from has to the places of to; where to has one already it is replaced, or left. */
int user_meta_move(struct txn *txn, struct user_meta *from, struct user_meta *to, unsigned flag, bool replace);
void user_meta_free(struct user_meta **metap);

/* ---- counters (handbook 01 §7.3), staged in txn ----
 * meta NULL, or "conversations: no": nothing is stored and the numbers follow from `last` alone.
 * The kind of the mailbox, and so the fields, follow from its name and type; flags are COUNTER_*.
 * An error (*errp, which may be NULL) gives 0: a damaged file (IMAP_MAILBOX_BADFORMAT, _CHECKSUM;
 * logged) is never written over. */
int counters_read(struct user_meta *, struct txn *txn, struct counters *out);
modseq_t counters_next_modseq(struct txn *, struct user_meta *, modseq_t last, const char *mboxname, uint32_t mbtype,
                              unsigned flags, int *errp);
modseq_t counters_set_modseq(struct txn *, struct user_meta *, modseq_t atleast, const char *mboxname, uint32_t mbtype,
                             unsigned flags, int *errp);
uint32_t counters_next_uidvalidity(struct txn *, struct user_meta *, uint32_t last, int *errp);
/* No number stays below that of other. */
int counters_merge(struct txn *, struct user_meta *, const struct counters *other);
int counters_set_uidvalidity(struct txn *, struct user_meta *, uint32_t atleast);

/* ---- subscriptions (handbook 01 §7.2) ---- */
int sub_list(const char *userid, strarray_t *names);  /* internal names, sorted */
int sub_change(struct txn *, const char *userid, const char *name, bool subscribe); /* idempotent; *IMAP_OK if nothing changed */
int sub_rename(struct txn *, const char *userid, const char *oldname, const char *newname); /* nothing if it is not subscribed */
bool sub_is_subscribed(const char *userid, const char *name);

/* ---- seen records of other people's mailboxes (handbook 01 §7.1) ---- */
/* A user or mailbox without a record: an empty one. On an error sd holds nothing. */
int seen_read(const char *userid, const char *uniqueid, struct seendata *sd, struct txn *txn);
int seen_write(struct txn *, const char *userid, const char *uniqueid, const struct seendata *sd);
int seen_foreach(const char *userid, int (*cb)(const char *uniqueid, const struct seendata *, void *), void *rock);

#endif
