/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_FULL_H
#define INCLUDED_SYNC_CLIENT_FULL_H
/*
 * sync_client_full -- what becomes of a message when both ends have changed (handbook 03 §11.1)
 *
 * The decision is a pure function of the two records and a few numbers, so it can be
 * tested row by row.
 *
 * Memory does not grow with the mailbox: the replica's records lie in a spool and come by one at
 * a time. It grows, by some bytes each, with the records about which something is to be done: the messages to
 * fetch, the actions, the UIDs for the replica, the lines that tell of decisions; and the real pass is one transaction, which
 * holds what it changes. The one bit for each record of the replica reaches up to the last that was copied.
 */
#include <stdbool.h>
#include <stdint.h>

#include "bitvector.h"
#include "buf.h"
#include "hash.h"
#include "sync_folder.h"
#include "sync_ranges.h"
#include "sync_record.h"
#include "sync_spool.h"
#include "txn.h"

struct mailbox;
struct search;
struct sync_client;

/* For our record. */
enum full_ours {
    FULL_OURS_KEEP,    /* nothing */
    FULL_OURS_BUMP,    /* a new modseq, so that the delta sends it */
    FULL_OURS_EXPUNGE, /* the replica has expunged it */
    FULL_OURS_TAKE,    /* flags, conversation and annotations of the replica, and a new modseq */
    FULL_OURS_RENUMBER /* a copy under a new UID, the old one is expunged */
};
/* For the replica's record. */
enum full_theirs {
    FULL_THEIRS_KEEP,
    FULL_THEIRS_APPEND,   /* comes here under the same UID */
    FULL_THEIRS_COPYBACK, /* comes here under a new UID, the replica expunges the old one */
    FULL_THEIRS_EXPUNGE   /* the replica expunges it */
};
struct full_numbers {
    uint32_t our_last_uid;
    modseq_t our_deletedmodseq;
    uint32_t their_last_uid; /* LAST_UID, or the last of its records if that is higher */
    modseq_t their_highestmodseq;
    bool absorb; /* theirs is another mailbox: what it does not have is not missing there, and it is left alone */
};
struct full_decision {
    enum full_ours ours;
    enum full_theirs theirs;
    bool theirs_first; /* of two messages under one UID the lower GUID is renumbered first */
};
/* ours, theirs: NULL where that end lacks the UID. */
struct full_decision full_decide(const struct full_numbers *numbers, const struct sync_record *ours,
                                 const struct sync_record *theirs);

/* Nothing that an update would carry differs (both alive, same GUID). */
bool full_same_record(const struct sync_record *ours, const struct sync_record *theirs);

/* ---- one full update, shared by its two passes ---- */

enum full_action_kind { FULL_ACTION_EXPUNGE, FULL_ACTION_COPYBACK, FULL_ACTION_RENUMBER };
struct full_action {
    enum full_action_kind kind;
    uint32_t uid;
    uint64_t at; /* COPYBACK: where the replica's record lies in the spool */
};
struct full_wanted { /* a message whose file is to be fetched */
    uint32_t uid;
    struct message_guid guid;
};
/* What was compared by ranges (sync_client_ranges), so that the spool has not all of the replica's records. */
struct full_ranges {
    bool used;
    size_t records; /* that were asked for */
    struct sync_ranges listed; /* the spool has all of these; in the others the messages that live were the same on both ends */
    /* ours, when the comparison began */
    char *uniqueid;
    modseq_t highestmodseq;
    uint32_t last_uid;
};
struct full {
    struct sync_client *sc;
    const char *name, *uniqueid;       /* ours; a name may go to another mailbox at any moment; uniqueid NULL: whichever has the name */
    const char *theirname, *theirid;   /* on the replica, the same way */
    struct sync_folder remote;
    struct sync_spool theirs;
    int spool_error;               /* the first record that could not be kept; those after it are not */
    struct sync_spool_reader step; /* while a walk is at work: theirs of this step */
    bool anyhow; /* compare by ranges also when there are few records */
    struct full_ranges ranges;
    bool alike; /* while a walk is at work: ours of this step was the same on both ends; theirs is not at hand */
    bool stale; /* ours have changed so that a comparison by ranges does not hold */
    struct full_numbers numbers;
    struct txn *txn;         /* the real pass */
    struct mailbox *mailbox; /* open in either pass */
    bool ahead;              /* the replica's HIGHESTMODSEQ was higher */
    struct full_wanted *wanted;
    size_t nwanted;
    hash_table lost;         /* GUIDs that the replica lists and cannot give */
    struct full_action *actions;
    size_t nactions;
    bitvector_t copied;    /* of theirs, by position: was copied back by a run that was interrupted */
    struct search *search; /* while full_find_copies is at work */
    struct buf said;       /* a line for each decision of the real pass */
    uint32_t *kuids; /* to be expunged on the replica */
    size_t nkuids;
};
/* The other end's has the same name and UNIQUEID, unless they are set otherwise. */
void full_init(struct full *full, struct sync_client *sc, const char *name, const char *uniqueid);
void full_fini(struct full *full);
/* Of what an open of full->name returned: IMAP_MAILBOX_RENAMED if it is another mailbox by now. */
int full_check_ours(const struct full *full, int r);
/* Ask for all records of the replica, or for those that differ from ours. IMAP_MAILBOX_NONEXISTENT; IMAP_SYNC_CHANGED: another one has the name. */
int full_get_remote(struct full *full);
/*
 * The latter, from a replica that has X-RANGES. IMAP_AGAIN: it is to be asked for all, as ours are few or its mailbox has
 * changed again and again.
 */
int full_get_ranges(struct full *full);
/* What was learned of the replica is forgotten. */
void full_forget_remote(struct full *full);
void full_set_numbers(struct full *full);
/* Of a message that was the same on both ends when they were compared. */
struct full_decision full_decide_alike(const struct full *full, const struct sync_record *ours);
/* full->mailbox has just been opened. IMAP_AGAIN (and full->stale): what was compared may be gone without a trace. */
int full_check_ranges(struct full *full);
/*
 * Walk our records and the replica's; each with its decision. ours, theirs as full_decide; both are valid
 * for this step, and may be changed.
 */
typedef int full_step_fn(struct full *full, struct full_decision d, struct sync_record *ours,
                         struct sync_record *theirs);
int full_walk(struct full *full, full_step_fn *step);
/* Find what was copied back before; such a message is only expunged on the replica. full->mailbox is open. */
int full_find_copies(struct full *full);
/* The createdmodseq that the copy of a record of the replica gets. */
modseq_t full_created(const struct index_record *theirs);
bool full_is_lost(const struct full *full, const struct message_guid *guid);
/* Path of the fetched file, or NULL. */
const char *full_fetched(const struct full *full, const struct message_guid *guid);
/* Room for one more element behind n. */
void *full_grow(void *array, size_t n, size_t size);
/* All changes here, in one transaction. IMAP_AGAIN: the mailbox has changed, other files are needed. */
int full_real_pass(struct full *full);

#endif
