/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_OPS_H
#define INCLUDED_USER_OPS_H
/*
 * user_ops -- what is done to a user as a whole: each one unit of work inside the caller's transaction (doc/users.md)
 *
 * User ids are those of logins. IMAP_INVALID_USER: no id of a user. IMAP_NOTFOUND: no such user. IMAP_MAILBOX_EXISTS: there
 * is one. IMAP_MAILBOX_NOTSUPPORTED: not in the state that he is in.
 */
#include "user_record.h"

struct user_createargs {
    const char *userid;
    const char *id;         /* uniqueid of his INBOX; NULL: a new one */
    const char *partition;  /* NULL: as configured */
    int64_t storage;        /* limit of his quota root, KiB; QUOTA_UNLIMITED: no root */
    bool moving_in;         /* no INBOX: replication brings it */
};
int user_create(struct txn *txn, const struct user_createargs *args);
/* reason NULL: none. Again with another reason is fine. */
int user_disable(struct txn *txn, const char *userid, const char *reason);
/* Also of who is moving in: he has arrived. He needs an INBOX. */
int user_enable(struct txn *txn, const char *userid);
/*
 * He has INBOX and all here still, but lives on that server now, or will in a moment: nobody changes anything here. IMAP_MAILBOX_NOTSUPPORTED:
 * he is neither active nor disabled. Again with the same server is fine.
 */
int user_leave(struct txn *txn, const char *userid, const char *server);
/* He stays here after all, active or disabled as he was. */
int user_stay(struct txn *txn, const char *userid, enum user_state state);
/*
 * A master says in which state he is, active or disabled, why and since when: so it is here, but who is moving in stays so. said has no
 * id. IMAP_NOTFOUND.
 */
int user_take_state(struct txn *txn, const struct user_record *said);
/* By delete_mode, or at once. */
int user_delete(struct txn *txn, const char *userid, bool immediate);
int user_rename(struct txn *txn, const char *from, const char *to);
/*
 * The user of this name that was deleted last, or the one with this id, comes back with the mailboxes that were deleted with him, his
 * quota limits and subscriptions. IMAP_MAILBOX_NONEXISTENT: his mailboxes are gone for good.
 */
int user_undelete(struct txn *txn, const char *userid, const char *id);

/*
 * users.db as a whole against mailboxes.db: what another server has done meanwhile gets into the records, in transactions of its
 * own. *count: users whose records were changed.
 */
int user_derive(unsigned *count);
/*
 * At the start, while nobody else works: a users.db that is damaged is made anew from what can be read of it, the old bytes stay in
 * users.db.damaged. A whole one is left alone.
 */
int user_derive_salvage(void);
/* Tombstones of users deleted before go (userid NULL: of all), but of who can still be brought back. *count: how many. */
int user_expire(time_t before, const char *userid, size_t *count);

#endif
