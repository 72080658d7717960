/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_H
#define INCLUDED_SYNC_CLIENT_H
/*
 * sync_client -- the master's side of replication (handbook 03 §10, §11)
 *
 * The rooms: _conn speaks with the replica, _state holds what it says about
 * itself, _reserve and _mailbox bring messages and mailboxes over, _folders puts
 * a set of mailboxes in order (renames, deletions), _full repairs two
 * ends that have diverged, _subs and _meta do the small things, _user the whole. _local is what there
 * is to replicate, _verify compares both ends without changing any.
 *
 * No lock of the store is held while the network is waited for: what is to be sent is
 * read as one snapshot first. All functions return 0 or an imap_err code;
 * IMAP_BYE_LOGOUT and IMAP_SERVER_UNAVAILABLE mean that the connection is of no more use.
 */
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "dlist.h"
#include "hash.h"
#include "ptrarray.h"
#include "quota_codec.h"
#include "seen_codec.h"
#include "strarray.h"
#include "sync_folder.h"
#include "sync_reserve.h"
#include "sync_sieve.h"

struct backend;

struct sync_client {
    /* what to do; set before connecting */
    const char *servername; /* host, host:port, or /path */
    const char *transport;  /* the program that is the connection; NULL: a socket */
    const char *channel;    /* NULL: the default one */
    const char *partition;  /* -p: partition on the replica; NULL: as here */
    struct buf *cause;      /* may be NULL; gets why a connection failed */
    int verbose;            /* 1: a line for each action; 2: the protocol too */
    bool log;               /* -l */
    bool localonly, nocopyback, nowait, needcompress, connect_once;

    struct backend *backend; /* NULL: not connected */
    bool isimap, sieve_mailbox, broken;
    bool remembers;   /* what the replica has of a mailbox, as it last said, for sync_client_together.h */
    hash_table theirs; /* by UNIQUEID: struct sync_known; empty after connecting */
    hash_table unsettled; /* by user: how the lists of folders differed when a comparison left them so */
    bool sieve_files; /* scripts that are files go by command, also where others are a mailbox */
    bool leases;      /* the replica gives us the users that we ask for alone (X-LEASE) */
    bool leased;      /* and may have given us some */
    bool acks;        /* this is the replica of the channel: what it has is noted in the table of acknowledgements (sync_acked.h) */
    uint64_t instance; /* that it has told (X-INSTANCE); 0: none */
    unsigned locks;   /* sync locks that are held */
    unsigned tagno;
    unsigned commands;  /* sent so far */
    ptrarray_t posted;            /* commands whose answers have not been read */
    bool more;                    /* another is posted at once, and goes with this one */
    struct buf answer;            /* the last command and its status line, if it was not OK */
    struct buf errtext;
    struct sync_reserve *reserve; /* files fetched from the replica */

    int lease_wait;   /* ms for which a user that another stream has is waited for; 0: sync_timeout, with nowait a second */
    bool skip_locked; /* with nowait: a user that another client works on is no failure */
    bool complain; /* name on stderr each mailbox that fails */
    struct sync_compare *compare; /* --compare (sync_client_compare.h); NULL: something else is done */
    struct sync_lag *lag;         /* what differs is noted there too (sync_client_lag.h); NULL: it is not */
    strarray_t *held;             /* differences go here instead of being told; NULL: they are told */
    hash_table *known; /* by uniqueid: the state in which all records of a mailbox were found equal, not to be looked at again; NULL: always */
    bool reads_only;              /* changes nothing there, so a replica may do it as well (doc/failover.md) */
    bool handing_over; /* this user's home is there from now on: the last run (sync_client_home.h) */
    bool proxy;    /* an IMAP server, logged in to as proxy_authname (XFER); nothing is said on stdout */

    /* what was done, for the summary */
    uint64_t mailboxes, messages, octets, differences;
    uint64_t compared; /* messages, and one for each mailbox */
};

/* ---- _conn ---- */
/* Without a servername, take the channel's, and its transport. False if there is none. */
bool sync_client_find_server(struct sync_client *sc);
int sync_client_connect(struct sync_client *sc);
void sync_client_disconnect(struct sync_client *sc);
void sync_client_fini(struct sync_client *sc); /* disconnects */
/* "error", and what the replica said if that was not OK. Valid until the next call. */
const char *sync_client_errtext(struct sync_client *sc, int r);
/* Is the replica that host? */
bool sync_client_is_server(const struct sync_client *sc, const char *host);
/* One line about an action: printed with -v, logged with -l. */
void sync_client_say(struct sync_client *sc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* An untagged line; the dlist is freed afterwards unless *dlp was set to NULL. */
typedef int sync_client_line(struct sync_client *sc, struct dlist **dlp, void *rock);
/*
 * Send "VERB <dlist>" and read the answer; frees dl. fn NULL: lines are not expected. The code of the
 * status line, else the first error of fn.
 */
int sync_client_command(struct sync_client *sc, const char *verb, struct dlist *dl,
                        sync_client_line *fn, void *rock);
/* The same; the items of one list of the lines go to the sink, without a limit to their number. */
int sync_client_itemcommand(struct sync_client *sc, const char *verb, struct dlist *dl,
                            const struct dlist_itemsink *items, sync_client_line *fn, void *rock);
/* The same with the text of the dlist. name is for the log. */
int sync_client_textcommand(struct sync_client *sc, const char *verb, const char *name,
                            const struct buf *text, sync_client_line *fn, void *rock);
/*
 * Send a command whose answer has no lines. done is told what became of it, in the order of posting: at once, or, where the replica
 * announces X-PIPELINE, later, at the latest when any other command is sent. It sends nothing itself. IMAP_SERVER_UNAVAILABLE: nobody knows.
 */
typedef void sync_client_done(struct sync_client *sc, int r, void *rock);
void sync_client_post(struct sync_client *sc, const char *verb, struct dlist *dl, sync_client_done *done, void *rock);
void sync_client_posttext(struct sync_client *sc, const char *verb, const char *name, const struct buf *text,
                          sync_client_done *done, void *rock);
/* Waits for the answers to all that was posted. */
void sync_client_settle(struct sync_client *sc);
/* RESTART, which gives leases back, too; or posted, when nobody asks what became of it. */
int sync_client_restart(struct sync_client *sc);
void sync_client_post_restart(struct sync_client *sc);

/* The sync lock of a user ("" for shared mailboxes) towards this server; IMAP_MAILBOX_LOCKED with nowait. */
struct namelock;
int sync_client_lock(struct sync_client *sc, const char *userid, struct namelock **lockp);
/* Gives it back (NULL is fine), and with the last one the leases of the replica. */
void sync_client_unlock(struct sync_client *sc, struct namelock **lockp);
/* Nobody is worked on any more: leases go (NOOP, posted), unless a sync lock is held around it. */
void sync_client_let_go(struct sync_client *sc);

/* ---- _state ---- */
/* Of a mailbox that only the replica has (sync_client_absent.h). */
enum sync_fate {
    SYNC_FATE_STAY,
    SYNC_FATE_DELETE, /* is to be deleted */
    SYNC_FATE_MERGED, /* its messages are in one that the replica does not have yet */
    SYNC_FATE_LATE,   /* is to be deleted, when the mailbox that has its messages is up to date */
    SYNC_FATE_GONE
};
struct sync_remote { /* a mailbox of the replica */
    struct sync_folder folder;
    bool mark; /* it is here too */
    enum sync_fate fate;
};
struct sync_remote_seen {
    char *uniqueid;
    struct seendata sd;
};
struct sync_state {
    ptrarray_t folders; /* struct sync_remote */
    ptrarray_t quotas;  /* struct quota */
    ptrarray_t seen;    /* struct sync_remote_seen */
    strarray_t subs;
    struct sync_sieve_list scripts;
    hash_table byid, byname; /* of the folders: the first of each */
    char *digest;            /* of the names of the user's folders, if it was asked for */
};
#define SYNC_STATE_INITIALIZER                                                                  \
    {                                                                                           \
        PTRARRAY_INITIALIZER, PTRARRAY_INITIALIZER, PTRARRAY_INITIALIZER, STRARRAY_INITIALIZER, \
            SYNC_SIEVE_LIST_INITIALIZER, HASH_TABLE_INITIALIZER, HASH_TABLE_INITIALIZER,        \
            NULL                                                                                \
    }
void sync_state_fini(struct sync_state *state);
/*
 * Ask for the state; answers are added. what: "USER", "META" with a user id. From then on the users are ours alone where the replica
 * knows leases; IMAP_MAILBOX_LOCKED: another stream had one of them all the time that we waited.
 */
int sync_state_get(struct sync_client *sc, const char *what, const char *arg,
                   struct sync_state *state);
/* The same for "MAILBOXES" or "UNIQUEIDS" and a list. */
int sync_state_getlist(struct sync_client *sc, const char *what, const strarray_t *args,
                       struct sync_state *state);
/* "MAILBOXES", and, where it is told, the digest of the names of the user's folders. */
int sync_state_getnamed(struct sync_client *sc, const strarray_t *names, const char *userid, struct sync_state *state);
struct sync_remote *sync_state_find(const struct sync_state *state, const char *uniqueid);
struct sync_remote *sync_state_byname(const struct sync_state *state, const char *name);
/* The replica has given it another name. */
void sync_state_rename(struct sync_state *state, struct sync_remote *remote, const char *newname);
/* Lists of struct sync_remote_seen. */
const struct sync_remote_seen *sync_seen_find(const ptrarray_t *list, const char *uniqueid);
bool sync_seen_equal(const struct sync_remote_seen *a, const struct sync_remote_seen *b);
void sync_seen_fini(ptrarray_t *list);

/* ---- _local ---- */
/* Entries (mbentry_t) of what a user has here, deleted mailboxes too; of the names that are there. */
int sync_local_user(struct sync_client *sc, const char *userid, ptrarray_t *entries);
int sync_local_named(struct sync_client *sc, const strarray_t *names, ptrarray_t *entries);
/* What mailboxes of the owner of this one have, under any name, goes to `found` for the partition. wanted: GUIDs in hex; what is found is taken out. */
int sync_local_look(struct sync_client *sc, const char *name, const char *partition, hash_table *wanted, struct sync_reserve *found);
void sync_local_fini(ptrarray_t *entries);
void sync_local_roots(const ptrarray_t *entries, strarray_t *roots); /* their quota roots */
int sync_local_seen(const char *userid, ptrarray_t *list);           /* struct sync_remote_seen */

/* ---- _folders ---- */
/*
 * Bring these mailboxes (mbentry_t, in the order they are to be made) over. candelete: they are all that the user has, so what the replica has
 * beyond them is decided about, too (sync_client_absent.h). *againp: renames were made or mailboxes came, look at both ends anew. last: there
 * will be no other look, since somebody renames all the time; so they are brought over, whatever name they have by now.
 */
int sync_do_folders(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state,
                    bool candelete, bool last, bool *againp);

/* ---- _reserve ---- */
/* GUIDs that are on their way or there, by target partition: "partition guid". */
struct sync_sent {
    hash_table guids;
};
void sync_sent_init(struct sync_sent *sent);
void sync_sent_fini(struct sync_sent *sent);
bool sync_sent_has(const struct sync_sent *sent, const char *partition,
                   const struct message_guid *guid);
void sync_sent_add(struct sync_sent *sent, const char *partition, const struct message_guid *guid);
/* Ask the replica which messages of these mailboxes it can find in its own ones. */
int sync_do_reserve(struct sync_client *sc, const ptrarray_t *mbentries,
                    const struct sync_state *state, struct sync_sent *sent);
const char *sync_target_partition(const struct sync_client *sc, const mbentry_t *mbentry);

/* ---- _mailbox, _full ---- */
/*
 * Bring one mailbox up to date; remote NULL: the replica does not have it. What is sent is posted; done is told of the mailbox as a
 * whole, once. Of one that is unsettled (IMAP_AGAIN or IMAP_SYNC_CHECKSUM: the ends must be compared; IMAP_SYNC_CHANGED or
 * IMAP_MAILBOX_RENAMED: somebody changes it) sync_do_mailbox_again is to be called, with the code.
 */
void sync_do_mailbox(struct sync_client *sc, const mbentry_t *mbentry, const struct sync_folder *remote,
                     struct sync_sent *sent, sync_client_done *done, void *rock);
bool sync_mailbox_is_unsettled(int r);
int sync_do_mailbox_again(struct sync_client *sc, const mbentry_t *mbentry, int r, const struct sync_state *state, struct sync_sent *sent);
/*
 * Make one that the replica does not have: under another name there (NULL: the same), or in the place of the mailbox of that name with
 * the UNIQUEID `replaces` (NULL: there is none).
 */
int sync_do_mailbox_as(struct sync_client *sc, const mbentry_t *mbentry, const char *name,
                       const char *replaces, struct sync_sent *sent);
int sync_do_intermediate(struct sync_client *sc, const mbentry_t *mbentry);
/*
 * Compare all records with those of the replica, repair ours, and have the replica expunge what must go. sent: before that it is asked
 * which of the messages that are to be sent now it has in the mailboxes of state; NULL: nothing will be. theirname: it has another name there;
 * NULL: not. IMAP_MAILBOX_RENAMED, IMAP_SYNC_CHANGED: another mailbox has got the name, here or there; nothing was changed.
 */
int sync_do_full(struct sync_client *sc, const char *name, const char *uniqueid, const char *theirname, const struct sync_state *state,
                 struct sync_sent *sent);
/*
 * The messages of another mailbox of the replica come into ours, with their UIDs where those are free. Nothing is expunged for it at
 * either end, except what is expunged in the one under the same UID and GUID. Can be done again.
 */
int sync_do_absorb(struct sync_client *sc, const mbentry_t *into, const struct sync_folder *theirs);

/* ---- _refill ---- */
/* A message file of the replica comes to the reserve area, for this partition. IMAP_MAILBOX_NONEXISTENT: the replica has no such file;
 * IMAP_MESSAGE_DAMAGED: it has not the bytes of that GUID. */
int sync_fetch_message(struct sync_client *sc, const struct sync_folder *remote,
                       const char *partition, uint32_t uid, const struct message_guid *guid);
struct reconstruct;
/* What is missing or damaged of the message files of this mailbox comes from the replica; told with reconstruct_say. Connects when needed. */
int sync_refill_mailbox(struct sync_client *sc, struct reconstruct *rc, const char *name);

/* ---- _meta ---- */
int sync_do_quotas(struct sync_client *sc, const strarray_t *roots, const ptrarray_t *remote);
int sync_do_seen(struct sync_client *sc, const char *userid, const ptrarray_t *remote);
/* One record, without asking for the replica's. */
int sync_do_seen_record(struct sync_client *sc, const char *userid, const char *uniqueid);
int sync_do_sieve(struct sync_client *sc, const char *userid, const struct sync_sieve_list *remote);
int sync_do_meta(struct sync_client *sc, const char *userid);
int sync_do_annotation(struct sync_client *sc, const char *name);

/* ---- _subs ---- */
/* remote: what the replica has as subscriptions, for one that keeps no history of them. */
int sync_do_subs(struct sync_client *sc, const char *userid, const strarray_t *remote);

/* Names that he has subscribed to here, and that the replica has not heard of; what it says without a history: all that it lacks. */
int sync_lost_subs(struct sync_client *sc, const char *userid, const strarray_t *remote, strarray_t *lost);

/* One subscription, as it is here now. */
int sync_do_sub(struct sync_client *sc, const char *userid, const char *name);

/* ---- _userstate ---- */
/* Active or disabled, and since when; to a replica that has records of users. */
int sync_do_userstate(struct sync_client *sc, const char *userid);

/* ---- _usage ---- */
/* The replica counts quota and conversations of the user anew; nothing where it can't be asked. */
int sync_do_recount(struct sync_client *sc, const char *userid);
/*
 * Both ends have counted the same, or do after a recount of the replica (logged); what differs then is told as by sync_verify_user. Only while
 * nothing changes here.
 */
int sync_verify_usage(struct sync_client *sc, const char *userid);
/*
 * After a run that has left the same mailboxes on both ends, with X-USAGE: numbers that differ are counted anew on the replica, and logged. Nothing is
 * done when those of here have changed since before (sync_usage_read), as the replica may not have that yet;
 * *movedp is true then.
 */
int sync_settle_usage(struct sync_client *sc, const char *userid, const ptrarray_t *before, bool *movedp);

/* ---- _user ---- */
int sync_do_user(struct sync_client *sc, const char *userid);
/* One set; names are internal. */
int sync_do_mailboxes(struct sync_client *sc, const strarray_t *names);
/*
 * The same for mailboxes of one user. When a mailbox exists at one end only, or (where the replica tells a digest) the folders of the user have other
 * names there, *whole becomes true, nothing is done, and sync_do_user is to be called, and then sync_note_unsettled: what that has left as it was
 * makes nothing whole again until it changes.
 */
int sync_do_mailboxes_of(struct sync_client *sc, const char *userid, const strarray_t *names, bool *whole);
int sync_note_unsettled(struct sync_client *sc, const char *userid, const strarray_t *names);
/*
 * All mailboxes without owner, deleted ones, too, that either end has: one that only the replica has comes here, or goes, as one of a
 * user. The replica must have X-ROLE.
 */
int sync_do_all_shared(struct sync_client *sc);
/* GET USERS or SHARED (X-ROLE): names, appended. */
int sync_client_names(struct sync_client *sc, const char *what, strarray_t *names);
int sync_do_unuser(struct sync_client *sc, const char *userid);
/* The sync locks of all owners of these mailboxes, in the order of the owners' names. */
int sync_lock_owners(struct sync_client *sc, const strarray_t *names, ptrarray_t *locks);
void sync_unlock_owners(struct sync_client *sc, ptrarray_t *locks);

/* ---- _verify ---- */
/*
 * Compare what sync_do_user, _meta and _mailboxes make equal. Each difference is a line on stdout and counts in
 * sc->differences; an error means that the comparison could not be made.
 */
int sync_verify_user(struct sync_client *sc, const char *userid);
int sync_verify_meta(struct sync_client *sc, const char *userid);
int sync_verify_mailboxes(struct sync_client *sc, const strarray_t *names);
/*
 * Does the replica still have all that is here? It has gone its own way meanwhile: what was changed, moved or expunged there is no
 * difference, what is not there at all is one. shared: nor may it have other rights, subscriptions and seen state, unless they were changed
 * there.
 */
int sync_verify_kept(struct sync_client *sc, const char *userid, bool shared);
/* Tells a difference that was held. */
void sync_verify_report(struct sync_client *sc, const char *text);

#endif
