/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNCCMD_H
#define INCLUDED_SYNCCMD_H
/*
 * synccmd -- the commands of the replica: GET, APPLY and RESTORE, one a file
 *
 * sync_server and the SYNC commands of imapd read a dlist with synccmd_parse(), run
 * it with synccmd_run(), and print synccmd_status() of the result behind their own
 * prefix. A command prints its untagged lines itself, with no lock held and only
 * what is durable. Handbook 03 §4, §6, §9.
 *
 * A command returns 0 or an imap_err code.
 */
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "dlist.h"
#include "mbentry.h"
#include "ptrarray.h"
#include "spill.h"
#include "strarray.h"
#include "sync_reserve.h"
#include "txn.h"

struct protstream;

/* One connection of an admin. */
struct synccmd_session {
    struct protstream *in, *out;
    struct sync_reserve *reserve;
    const char *userid; /* who is logged in */
    const strarray_t *users; /* the peer may replicate these alone; NULL: everything */
    bool sieve_mailbox; /* APPLY CAPABILITIES (SIEVE-MAILBOX) */
    bool sieve_files;   /* and X-SIEVEFILES: scripts that are files are told, too */
    bool force;         /* APPLY FORCE: until the end of the connection */
    bool knows_leases;  /* and X-LEASE: it is told at once that another stream has a user */
    ptrarray_t leases;  /* struct namelock */
    unsigned long long heard; /* of monotonic_ms(): the last command */
    unsigned long long refused; /* the same: a lease was waited for in vain; 0: not, or none since */
};
/* in, out and userid are borrowed; end with synccmd_session_fini, which removes reserved files. */
void synccmd_session_init(struct synccmd_session *session, struct protstream *in,
                          struct protstream *out, const char *userid);
void synccmd_session_fini(struct synccmd_session *session);

enum synccmd_verb { SYNCCMD_GET, SYNCCMD_APPLY, SYNCCMD_RESTORE };

/* Read the argument and the end of the line. IMAP_PROTOCOL_ERROR: no dlist, the line was skipped. */
int synccmd_parse(struct synccmd_session *session, struct dlist **dlp);
/* The name of the dlist chooses the command, in any case. Unknown: IMAP_PROTOCOL_ERROR. */
int synccmd_run(struct synccmd_session *session, enum synccmd_verb verb, const struct dlist *dl);
/* "OK success", "NO IMAP_SYNC_CHECKSUM Checksum Failure" ... (handbook 03 §1.4). */
const char *synccmd_status(int r);
/* RESTART: reserved files go, and leases. */
void synccmd_restart(struct synccmd_session *session);

/* Leases end when the peer has been silent for long, in reading or writing; on for as long as the session reads commands itself. */
void synccmd_lease_watch(struct synccmd_session *session, bool on);
/* The same for who waits for other things, too: has the peer any lease yet? */
bool synccmd_lease_is_held(struct synccmd_session *session);
/* The peer has done with all users. */
void synccmd_lease_end(struct synccmd_session *session);

/* ---- for the commands ---- */

/* Print "* " and the item with its name; frees it. IMAP_IOERROR when the stream has failed. */
int synccmd_put(struct synccmd_session *session, struct dlist *dl);
/* Put the dlists of an array, or (r, or a failure on the way) only free them; empties the array. Returns r or the failure. */
int synccmd_put_all(struct synccmd_session *session, ptrarray_t *lines, int r);
/* Print "* " and text that is ready. A text that cannot be read ends the connection, as half of it may be out. */
int synccmd_putspill(struct synccmd_session *session, const struct spill *text);

/* What a command concerns: a peer that may replicate some users only gives those that concern nobody else. */
enum synccmd_subject {
    SYNCCMD_MAILBOXES, /* mailboxes, quota roots that stand under keys: their owners */
    SYNCCMD_NAMES,     /* the same, one, or a list of nothing else */
    SYNCCMD_IDS,       /* mailboxes by their identities, a list of nothing else; there may be none with it */
    SYNCCMD_USERS,     /* users: those whose files it reads or changes */
    SYNCCMD_NOBODY,    /* the connection, or bytes that belong to nobody yet */
    SYNCCMD_SERVER,    /* all of it */
};
/* All that dl names belongs to the users, and it names something. */
bool synccmd_is_allowed(const strarray_t *users, enum synccmd_subject subject, const struct dlist *dl);

#define SYNCCMD_LOCAL 1u   /* LOCAL_ form: the MUPDATE master is not told */
#define SYNCCMD_ANYROLE 2u /* also where this server is the primary of a pair */
#define SYNCCMD_ANYHOME 4u /* also about a user who is at home here */
#define SYNCCMD_UNLEASED 8u /* has no part in leases: it is asked by who has not got the sync lock of the user yet, for which others may have a lease */
/* The users are the stream's alone from now on: 0, or IMAP_MAILBOX_LOCKED. */
int synccmd_lease_begin(struct synccmd_session *session, enum synccmd_subject subject, const struct dlist *dl);

typedef int synccmd_fn(struct synccmd_session *session, const struct dlist *dl, unsigned flags);

synccmd_fn synccmd_get_annotation, synccmd_get_fetch, synccmd_get_fetch_sieve,
    synccmd_get_fullmailbox, synccmd_get_home, synccmd_get_homes, synccmd_get_mailboxes, synccmd_get_meta, synccmd_get_names, synccmd_get_quota,
    synccmd_get_ranges, synccmd_get_role, synccmd_get_shared, synccmd_get_subhistory,
    synccmd_get_uniqueids, synccmd_get_user, synccmd_get_users, synccmd_get_usage,
    synccmd_get_userstate;
synccmd_fn synccmd_apply_activate_sieve, synccmd_apply_annotation, synccmd_apply_capabilities,
    synccmd_apply_expunge, synccmd_apply_force, synccmd_apply_home, synccmd_apply_mailbox, synccmd_apply_mailboxes,
    synccmd_apply_message,
    synccmd_apply_quota, synccmd_apply_rename, synccmd_apply_renames, synccmd_apply_reserve, synccmd_apply_role, synccmd_apply_seen,
    synccmd_apply_sieve, synccmd_apply_sub, synccmd_apply_subhistory, synccmd_apply_unactivate_sieve,
    synccmd_apply_unannotation, synccmd_apply_unmailbox, synccmd_apply_unmailboxes, synccmd_apply_unquota,
    synccmd_apply_unsieve, synccmd_apply_unsub, synccmd_apply_unuser, synccmd_apply_userstate, synccmd_apply_recount,
    synccmd_apply_leave, synccmd_apply_stay;
synccmd_fn synccmd_restore_mailbox;

/* MAILBOX line of an entry: nothing for tombstones and reservations, a short one for intermediates. A quota
 * root is added to roots (may be NULL). *realp becomes true for a real mailbox (may be NULL). */
int synccmd_put_mailbox(struct synccmd_session *session, const mbentry_t *mbentry, bool records,
                        strarray_t *roots, bool *realp);
int synccmd_put_quota(struct synccmd_session *session, const char *root);
int synccmd_put_meta(struct synccmd_session *session, const char *userid);

/* Begin a transaction that holds the namespace of the owner of a mailbox / of a user. */
int synccmd_begin_mailbox(const char *name, struct txn **txnp);
int synccmd_begin_user(const char *userid, struct txn **txnp);
/* Commit if r is 0, else abort; the result of both. */
int synccmd_end(struct txn **txnp, int r);

#endif
