/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_ACKED_H
#define INCLUDED_SYNC_ACKED_H
/*
 * sync_acked -- the table of acknowledgements: how far each replica is with each user (doc/rolling.md)
 *
 * A replica is what is behind a channel ("" or NULL: the one without name). Its row for a user says a modseq: each record and each state of a
 * mailbox that has this modseq here, or a lower one, is there. A row begins with a comparison or a replication of the whole user, and goes on with
 * each turn of the rolling client after which nothing is left to do for him. The table may be lost: then a row is not there until it begins anew.
 *
 * A row is believed only of the replica that has made it. Each life of the replica's store has a number at random (X-INSTANCE), so after
 * a restart, of which nobody knows whether a backup was restored before it, no row counts until it is made anew. Of a replica that tells no
 * such number, as 3.6.1, rows come from whole users and comparisons only, and one that was restored from a backup can't be noticed. A row is not
 * believed either when it is of a place that the journal here has not passed: then a backup was restored here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "strarray.h"
#include "util.h"

struct sync_acked {
    modseq_t modseq;
    uint64_t lsn;      /* of the journal here: what was changed before it is in the modseq */
    uint64_t life;     /* of the journal here (journal_has_passed) */
    uint64_t instance; /* of the replica; 0: it tells none */
    uint64_t identity; /* of the user's INBOX: one who was deleted and is there again is another one */
    time_t when;       /* it was noted */
};

/* What the user has now, read under his lock; when is now. modseq 0: nothing can be said ("conversations: no", or no such user). */
void sync_acked_now(const char *userid, struct sync_acked *now);
/* False: there is no row that can be believed. */
bool sync_acked_read(const char *channel, const char *userid, struct sync_acked *row);
/* All that `row` says is there: the user was compared or brought over as a whole. row->modseq 0: nothing is noted. */
int sync_acked_whole(const char *channel, const char *userid, const struct sync_acked *row);

/* Does the replica tell no instance, so that no acknowledgements are noted? Of one that was never met this is not known: false. */
bool sync_acked_is_mute(const char *channel);
/* A connection to the replica was made. */
int sync_acked_met(const char *channel, uint64_t instance);
/*
 * The rolling client begins to read events at this place of the journal: rows from before it do not go on. anew: there was no reader before.
 * Without a table one begins here, too.
 */
int sync_acked_begin(const char *channel, bool anew);
/* Something was changed that is not brought over to the channel: the rows of these users do not go on. */
int sync_acked_stop(const char *channel, const strarray_t *userids);
/* All that each says is done, since its row was made: rows that go on are raised, in one transaction. */
struct sync_acked_step {
    char *userid;
    struct sync_acked now;
};
int sync_acked_raise(const char *channel, const struct sync_acked_step *steps, size_t n);
/* As if nothing had been acknowledged. */
int sync_acked_forget(const char *channel);

/* ---- replicas ---- */
/* Channels of which there is a client that follows, or was: those with a reader in the journal. Sorted. */
void sync_acked_channels(strarray_t *channels);
/* The one that is furthest with that user, and his row there; the caller frees it. NULL: no row can be believed. */
char *sync_acked_best(const char *userid, struct sync_acked *row);
/* Channels that imapd.conf names, or that there is anything of; sorted. */
void sync_all_channels(strarray_t *channels);

#endif
