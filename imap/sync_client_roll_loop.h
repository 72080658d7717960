/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_ROLL_LOOP_H
#define INCLUDED_SYNC_CLIENT_ROLL_LOOP_H
/*
 * sync_client_roll_loop -- what the loop of the rolling mode and its work on several owners at once share
 *
 * With workers each has a struct rolling of its own, the one that its parent had when it was forked; of that it uses sc, and what
 * is about the connection. The rest is the parent's.
 */
#include "sync_acked.h"
#include "sync_client_pool.h"
#include "sync_client_roll.h"

#define SYNC_ROLL_BREAKS 3      /* in a row, after which we wait before we connect again */
#define SYNC_ROLL_UNIT_BREAKS 2 /* at one owner, after which he has failed */

struct rolling {
    struct sync_roll *roll;
    struct sync_client *sc;
    struct sync_source *source;
    struct sync_retry retry;
    struct sync_roll_acks *acks; /* NULL: the table is left alone */
    struct sync_roll_status status;
    unsigned long long connected; /* of monotonic_ms() */
    unsigned breaks;              /* in a row */
    unsigned since_restart;       /* owners */
    uint64_t messages;            /* sent, at the last RESTART */
    int lockfd;
    bool failed; /* something has, ever */
    time_t told; /* the status was written, at last */
    bool success_untold; /* and a turn has ended since that left it as it was but for the time */

    struct sync_pool *pool;    /* NULL: nobody was needed yet */
    ptrarray_t queue;          /* ptrarray_t of struct sync_unit: what is to be done in this turn, and in nobody's hand */
    hash_table handed, seen;   /* owner: uint64_t *, serial of the last job; of all workers, and, in a worker, of its own */
    uint64_t serial;           /* of the last job */
    int wait;                  /* seconds until it is tried again to connect, 0: there is a connection */
    unsigned long long paused; /* of monotonic_ms() */
    bool unreachable;          /* and nothing more is tried */
};

/* ---- sync_client_roll.c ---- */
bool sync_roll_must_end(const struct rolling *ro);
/* One turn, then the end. */
bool sync_roll_is_once(const struct rolling *ro);
void sync_roll_set_state(struct rolling *ro, const char *state);
void sync_roll_note_error(struct rolling *ro, const char *what, const char *reason);
/* Seconds to wait before the next try to connect, from those before the last one. */
int sync_roll_next_wait(int wait);
/* A connection was made. */
void sync_roll_connected(struct rolling *ro);
/* The replica lets go of what it keeps for us; an old connection is given up after that. */
void sync_roll_rest(struct rolling *ro);
bool sync_roll_may_promote(const struct rolling *ro, const struct sync_unit *unit);
/* Over a connection. False: it broke, and it is to be tried again; else the unit is done, or given up. */
bool sync_roll_attempt(struct rolling *ro, struct sync_unit *unit, bool promote, ptrarray_t *failures);
/* Notes what became of a unit. Ends failures. */
void sync_roll_settle(struct rolling *ro, const struct sync_unit *unit, ptrarray_t *failures);

/* ---- sync_client_roll_acks.c; acks NULL: nothing is done ---- */
struct sync_roll_acks *sync_roll_acks_new(const char *channel);
void sync_roll_acks_free(struct sync_roll_acks **acksp);
/* This is to be done in this turn; before it begins. */
void sync_roll_acks_take(struct sync_roll_acks *acks, const struct sync_actions *actions);
/* And this was left out, since it came from another server. */
int sync_roll_acks_foreign(struct sync_roll_acks *acks, const struct sync_actions *foreign);
/* What there was for a user is done by that instance of the replica, or stands in retry. */
void sync_roll_acks_done(struct sync_roll_acks *acks, const char *userid, uint64_t instance);
/* All that was read up to this place of the journal is done, or stands in retry, and no text log is there. */
void sync_roll_acks_settle(struct sync_roll_acks *acks, uint64_t lsn, const struct sync_retry *retry, bool at_once);

/* ---- sync_client_roll_jobs.c ---- */
/* Does all of it with workers. False: we are to end before it is done. */
bool sync_roll_at_once(struct rolling *ro, const struct sync_actions *actions);

#endif
