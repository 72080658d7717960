/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_USER_HOME_H
#define INCLUDED_USER_HOME_H
/*
 * user_home -- which server of a pair is primary for a user (doc/failover.md, "Homes of users")
 *
 * A part of his record in users.db: the servername of that server, and an epoch, which grows each time that it is said anew. Of two
 * marks the one with the higher epoch counts, of two with one epoch the one whose server comes later in the alphabet. Who has no home
 * is taken by any server, as far as its role lets it (server_role.h).
 *
 * The guard holds it up: a process that has set it changes nothing of a user who is not to be changed by it, whatever way the change
 * takes, since each one takes his namespace in a transaction (txn_set_gate). The mark changes under the same lock.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "strarray.h"
#include "txn.h"

#define USER_HOME_MAXSERVER 255 /* bytes */

struct user_home {
    char server[USER_HOME_MAXSERVER + 1]; /* "": none */
    uint64_t epoch;                       /* 0: none */
    time_t since;                         /* UTC seconds */
};

/* IMAP_NOTFOUND: none. txn as in user_record_lookup. */
int user_home_get(const char *userid, struct txn *txn, struct user_home *home);
bool user_home_is_here(const struct user_home *home);
/* Has he a home that is another server? home may be NULL. What can't be read is none. */
bool user_home_is_elsewhere(const char *userid, struct user_home *home);
/* Which one counts: negative: b; positive: a; 0: they are the same. None is less than any. */
int user_home_cmp(const struct user_home *a, const struct user_home *b);
/* Can a server have this name? */
bool user_home_server_isvalid(const char *server);
/*
 * Stages the mark under his lock, and the event by which replication looks at him as a whole, suppressed or not. id: the uniqueid of
 * the INBOX that he will have, if he has none yet (NULL: not known). IMAP_INVALID_USER: he is not there; IMAP_MAILBOX_NOTSUPPORTED: he
 * is on his way to or from a third server.
 */
int user_home_put(struct txn *txn, const char *userid, const char *id, const struct user_home *home);
/*
 * The same for a mark that somebody has said. IMAP_USER_ATHOME, IMAP_SYNC_CHANGED: the mark that he has counts more, and it is this
 * server, or another. The same mark again is only the event, if it is another server.
 */
int user_home_take(struct txn *txn, const char *userid, const char *id, const struct user_home *said);
/* In a transaction of its own; logged. */
int user_home_set(const char *userid, const struct user_home *said);
/* The users that have one, by name; appended. */
int user_home_users(strarray_t *userids);

/* ---- who changes what: for the process ---- */
enum user_home_guard {
    USER_HOME_UNGUARDED,
    USER_HOME_CLIENT, /* changes users who are at home here, or nowhere: IMAP_USER_ELSEWHERE (user_record_gate) */
    USER_HOME_PEER,   /* changes users who are at home elsewhere, or nowhere: IMAP_USER_ATHOME */
};
/* Returns what it was. */
enum user_home_guard user_home_set_guard(enum user_home_guard guard);
/* Would a client of this process be refused at this mailbox? */
bool user_home_keeps_out(const char *mboxname);

#endif
