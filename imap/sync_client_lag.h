/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_LAG_H
#define INCLUDED_SYNC_CLIENT_LAG_H
/*
 * sync_client_lag -- how far behind a replica is with one user, as a comparison finds it (doc/rolling.md)
 *
 * The replica has a modseq when each record and each state of a mailbox that has this modseq here, or a lower one, is there as
 * it is here. While sync_verify_user runs with sc->lag set, what differs is noted with the lowest modseq that it can have; what
 * says nothing of its modseq counts as the lowest there is. So the numbers may be too low, never too high.
 */
#include <stdbool.h>
#include <time.h>

#include "mbentry.h"
#include "ptrarray.h"
#include "sync_folder.h"
#include "sync_record.h"
#include "util.h"

struct sync_lag_mailbox {
    char *name;      /* internal */
    modseq_t modseq; /* the highest of its records and its entry */
    modseq_t first;  /* the lowest of what the replica lacks; 0: it lacks nothing */
    bool records;    /* records are lacking */
};
struct sync_lag {
    ptrarray_t mailboxes; /* struct sync_lag_mailbox */
    time_t since;         /* the oldest change that is lacking, as far as records tell, UTC seconds; 0: they do not */
};
#define SYNC_LAG_INITIALIZER { PTRARRAY_INITIALIZER, 0 }
void sync_lag_fini(struct sync_lag *lag);
/* The highest modseq that the user has used; 0: not known, or "conversations: no", where each mailbox counts for itself. */
modseq_t sync_lag_user_modseq(const char *userid);

/* ---- for sync_client_verify; lag NULL: nothing is done ---- */
/* The next mailbox is compared. */
void sync_lag_begin(struct sync_lag *lag, const mbentry_t *mbentry);
/* The replica has no such mailbox, or another name for it. */
void sync_lag_absent(struct sync_lag *lag, const mbentry_t *mbentry);
void sync_lag_named(struct sync_lag *lag, const mbentry_t *mbentry);
/* It has one that was deleted here. */
void sync_lag_deleted(struct sync_lag *lag, const struct sync_folder *theirs);
/* A record differs; NULL: that end lacks it. */
void sync_lag_record(struct sync_lag *lag, const struct sync_record *ours, const struct sync_record *theirs);
/* Last, when the records were compared. unnumbered: something differs that no modseq belongs to. */
void sync_lag_state(struct sync_lag *lag, const struct sync_folder *ours, const struct sync_folder *theirs, bool unnumbered);

#endif
