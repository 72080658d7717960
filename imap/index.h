/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_INDEX_H
#define INCLUDED_INDEX_H
/*
 * index -- a session's view of the mailbox that it has selected
 *
 * The view is the list of UIDs that the client has been told of, in order; a
 * message number is a place in it. It changes in index_refresh() alone, which
 * compares it with the mailbox and says what the client has to be told. Flags
 * are not kept: what changed is known by modseq. So a selected session costs
 * four bytes a message.
 *
 * No lock is held between calls, but for index_lock() ... index_unlock(). What
 * index_refresh() hands out is durable: it waits for the journal.
 *
 * Message numbers and UIDs are never 0. Sets of messages are seqsets of message
 * numbers. Rights are ACL_* bits (acl.h), those of EXAMINE stripped. 0 or an
 * imap_err code, logged where the cause is known. IMAP_MAILBOX_NONEXISTENT: the
 * mailbox has been deleted; from then on all calls that need it say so.
 *
 * RFC 3501 §5.2, §7.3; RFC 7162; handbook 04 §2.3, §2.4.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "mailbox.h"
#include "seqset.h"

struct index_state;
struct entryattlist;

/* Rights of an ACL for a session: admins have l and a, option acl_admin_implies_write (handbook 04 §5.2). */
uint32_t index_effective_rights(const struct auth_state *auth, bool isadmin, const char *acl);

/* ---- select ---- */
struct index_args {
    const char *name;   /* internal */
    const char *userid; /* whose \Seen and \Recent; NULL: nobody's (the mailbox's own) */
    const struct auth_state *auth;
    bool isadmin;
    bool examine;          /* nothing may be changed, \Recent stays */
    bool include_expunged; /* expunged messages are shown with \Expunged, and never leave */
};
/*
 * Opens and fills the view. Needs right r: IMAP_PERMISSION_DENIED for a visible mailbox,
 * IMAP_MAILBOX_NONEXISTENT otherwise. Moves the \Recent mark unless examine.
 */
int index_open(const struct index_args *args, struct index_state **statep);
/* NULL is fine. Never fails; nothing is expunged. */
void index_close(struct index_state **statep);
/* Between two commands of a client that has nothing to say: what is not needed meanwhile is let go. */
void index_rest(struct index_state *);

/* ---- facts, as of the last refresh ---- */
const char *index_mboxname(const struct index_state *); /* internal */
const char *index_uniqueid(const struct index_state *);
const char *index_userid(const struct index_state *);
uint32_t index_rights(const struct index_state *);
bool index_examined(const struct index_state *);
bool index_readwrite(
    const struct index_state *);             /* any of s w i t e n is left (handbook 04 §2.3) */
bool index_gone(const struct index_state *); /* deleted */
uint32_t index_exists(const struct index_state *);
uint32_t index_recent(const struct index_state *); /* how many are \Recent in this session */
uint32_t index_uidvalidity(const struct index_state *);
uint32_t index_uidnext(const struct index_state *);
/* What may be told as HIGHESTMODSEQ: stays below the first expunge that is held back. */
modseq_t index_highestmodseq(const struct index_state *);
modseq_t index_deletedmodseq(const struct index_state *);
/* Slot -> name or NULL. */
const strarray_t *index_flagnames(const struct index_state *);
bool index_flags_full(const struct index_state *); /* no slot is free */
/* The handle, locked only between index_lock and index_unlock; NULL when gone. */
struct mailbox *index_mailbox(struct index_state *);

uint32_t index_uid(const struct index_state *, uint32_t msgno);
/* 0: not in the view. */
uint32_t index_msgno(const struct index_state *, uint32_t uid);
/*
 * Message numbers of a sequence set, those of UIDs with usinguid; numbers that are not there
 * are left out. "*" is the last message. NULL: bad syntax. The caller frees.
 */
struct seqset *index_parse_sequence(const struct index_state *, const char *text, bool usinguid);
/* UIDs of message numbers, and the other way round. The caller frees. */
struct seqset *index_uids_of(const struct index_state *, const struct seqset *msgnos);
struct seqset *index_msgnos_of(const struct index_state *, const struct seqset *uids);

/* ---- what the client has to be told ---- */
struct index_message {
    uint32_t msgno, uid;
    modseq_t modseq;
    uint32_t system_flags; /* FLAG_SEEN as this user has it */
    uint32_t user_flags[MAX_USER_FLAG_WORDS];
    bool recent, expunged;
};
struct index_update {
    bool gone;                 /* the mailbox has been deleted now; all messages are in expunged */
    uint32_t *expunged_msgnos; /* in the order to be told, numbers reflect the ones before */
    struct seqset *expunged_uids; /* the same */
    size_t nexpunged;
    bool exists_changed;           /* tell EXISTS and RECENT */
    bool flagnames_changed;        /* tell FLAGS and PERMANENTFLAGS */
    struct index_message *changed; /* by message number */
    size_t nchanged;
};
/*
 * Brings the view up to date, waits until that is durable, and says what is new. Without
 * expunges the messages that have gone stay in the view for now. *update is to be ended
 * with index_update_fini() in any case.
 */
int index_refresh(struct index_state *, bool expunges, struct index_update *update);
void index_update_fini(struct index_update *update);

/* ---- reading messages ---- */
/* Takes the shared lock and reads what is new, without changing the view. Nothing may be sent while it is held. */
int index_lock(struct index_state *);
void index_unlock(struct index_state *);
/* LSN that has to be durable before anything read under this lock is told (txn_wait). */
uint64_t index_seen_lsn(const struct index_state *);
/* Record of a message of the view, under the lock. IMAP_NOTFOUND: it is gone for good. */
int index_read_record(struct index_state *, uint32_t msgno, struct index_record *rec);
/* Record to message: flags as this user has them. */
void index_fill_message(const struct index_state *, uint32_t msgno, const struct index_record *rec,
                        struct index_message *msg);
/* UIDs of messages of the view whose records can't be read, as text; NULL: none. The caller frees. Under the lock. */
char *index_damaged(struct index_state *);
/* First message without \Seen, 0: none, or not known. Under the lock. */
uint32_t index_first_unseen(struct index_state *);
/*
 * UIDs that were expunged after modseq, out of `known` (NULL: all): RFC 7162 §3.2.5. When that
 * is no longer known: all of `known` (or 1:UIDNEXT-1) that are not in the view. The caller frees. Under the lock.
 */
int index_vanished(struct index_state *, modseq_t since, const struct seqset *known,
                   struct seqset **uids);

/* ---- changing: each is one transaction of its own. Not with index_lock held. ---- */
enum index_store_op {
    INDEX_STORE_ADD,
    INDEX_STORE_REMOVE,
    INDEX_STORE_REPLACE,
    INDEX_STORE_ANNOTATE
};
struct index_store {
    enum index_store_op op;
    uint32_t system_flags; /* FLAG_* with FLAG_SEEN */
    const strarray_t *user_flags;
    bool has_unchangedsince;
    modseq_t unchangedsince;
    struct entryattlist *annotations; /* userid "" shared, else private */
    bool ignorequota;
};
/*
 * Rights as handbook 04 §3.13 no. 1. *modified: UIDs left alone because of unchangedsince;
 * *changed: UIDs that this call changed; *modseqp: the newest modseq it gave. All are set, the caller frees.
 */
int index_store(struct index_state *, const struct seqset *msgnos, const struct index_store *store,
                struct seqset **modified, struct seqset **changed, modseq_t *modseqp);
/* \Seen for these messages, if right s and SELECT allow; else nothing happens. As index_store. */
int index_mark_seen(struct index_state *, const struct seqset *msgnos, struct seqset **changed,
                    modseq_t *modseqp);
/* \Deleted messages (uids NULL: all of the view) are expunged. Needs e. *countp: how many. */
int index_expunge(struct index_state *, const struct seqset *uids, uint32_t *countp);

struct index_copied {
    uint32_t uidvalidity;     /* of the target */
    struct seqset *from, *to; /* UIDs, in step */
    bool tell;                /* the user may read the target: COPYUID */
};
/*
 * Copies into mailbox `name` (internal), or moves. IMAP_NO_NOSUCHMSG when the set is empty. Rights
 * and errors as handbook 04 §3.16. End *copied with index_copied_fini() in any case.
 */
int index_copy(struct index_state *, const struct seqset *msgnos, const char *name, bool move,
               bool ignorequota, struct index_copied *copied);
void index_copied_fini(struct index_copied *copied);
/*
 * put() stores something in the target (which may be this mailbox) in the transaction in which the
 * message leaves. freed: bytes that its quota root gets back, -1: it is another root. Needs t and e.
 * IMAP_NO_NOSUCHMSG: the message is gone.
 */
int index_replace(struct index_state *, uint32_t msgno, const mbentry_t *target,
                  int (*put)(struct mailbox *target, int64_t freed, void *rock), void *rock);
/* Clients may put messages there: IMAP_MAILBOX_NOTSUPPORTED for \Snoozed (handbook 04 §2.5, CANNOT). */
int index_append_allowed(const mbentry_t *target);

#endif
