/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_EXPIRE_H
#define INCLUDED_EXPIRE_H
/*
 * expire -- the clean-up jobs of cyr_expire, each a thing of its own (handbook 05 §3.9, 02 §5.4)
 *
 * Every mailbox is one transaction, so a job can be ended at any moment. An error in one mailbox is logged, counted, and the
 * others go on. Times are UTC seconds; "before" means strictly earlier. Returns 0 or an imap_err code.
 */
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct expire_scope {
    const char *prefix; /* internal name: it and what is below; NULL: all */
    const char *userid; /* only this user's; NULL: all */
    bool verbose;       /* say on stderr what is done */
    /* Asked between two mailboxes: true ends the job. */
    bool (*stop)(void *rock);
    void *rock;
};

struct expire_counts {
    size_t mailboxes, messages; /* looked at */
    size_t expired;             /* expunged because of their age */
    size_t expunged;            /* expunged ones whose files and records went */
    size_t failed;              /* mailboxes */
    size_t left;                /* mailboxes whose messages did not expire, since this is the replica */
    size_t kept;                /* what would go, but a replica has not acknowledged it (expire_replica_wait) */
};

enum expire_policy {
    EXPIRE_POLICY_NONE,     /* no message is too old */
    EXPIRE_POLICY_PRIMARY,  /* not where this server is the replica of a pair: it hears of it from the primary (server_role.h) */
    EXPIRE_POLICY_ANYWHERE, /* there, too */
};

/*
 * Messages: those older than the expire annotation of their mailbox are expunged
 * as `policy` says, and what was expunged before `expunged_before` is removed for good (0: only what is
 * marked for removal already).
 */
int expire_messages(const struct expire_scope *scope, enum expire_policy policy, time_t expunged_before,
                    struct expire_counts *counts);
/*
 * Messages that arrived before, or are large, or lie in DELETED mailboxes, move to the archive partition; the archive annotation of a
 * mailbox wins over `before` (use_annotations; a value of 0: nothing of it moves). counts->expired: moved ones. Nothing without
 * archive_enabled.
 */
int expire_archive(const struct expire_scope *scope, bool use_annotations, time_t before,
                   struct expire_counts *counts);
/* User flags that no message has: counts->expired of them go. A mailbox with a damaged record keeps its flags. */
int expire_user_flags(const struct expire_scope *scope, struct expire_counts *counts);
/* DELETED mailboxes whose time of deletion lies before; the delete annotation of a mailbox wins (use_annotations). */
int expire_deleted(const struct expire_scope *scope, bool use_annotations, time_t before,
                   struct expire_counts *counts);
/* Entries of mailboxes.db that tell of mailboxes deleted before. */
int expire_tombstones(const struct expire_scope *scope, time_t before,
                      struct expire_counts *counts);
/* What users' histories of subscriptions say of names that were unsubscribed before. */
int expire_subscriptions(const struct expire_scope *scope, time_t before, struct expire_counts *counts);
/* Message-id records of conversations, of users in scope: counts->messages seen, ->expired removed, ->mailboxes databases. */
int expire_conversations(const struct expire_scope *scope, time_t before,
                         struct expire_counts *counts);

/*
 * "3", "1.5d", "12h" in seconds: a number that may have a fraction, and d h m s (d if missing).
 * False: anything else, a negative or a far too large number.
 */
bool expire_parse_duration(const char *text, double *seconds);

#endif
