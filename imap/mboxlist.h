/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_H
#define INCLUDED_MBOXLIST_H
/*
 * mboxlist -- mailboxes.db: which mailboxes exist, where, with which rights
 *
 * Store part (floor 3, mboxlist.c): look-ups, mboxlist_update_entry, iteration.
 * Operations (floor 4, mboxlist_create.c, _delete.c, _rename.c, _acl.c): each is
 * one unit of work inside the caller's transaction.
 *
 * Create path (the order is the contract): the entry is reserved in
 * mailboxes.db (mboxlist_update_entry, type | MBTYPE_INTERMEDIATE) BEFORE
 * anything asks where its user's metadata lives (conversations_open_mbox,
 * counters), and made live after the files are staged. Reservation, files and
 * live entry are in one transaction, so a crash leaves all or nothing.
 *
 * Formats and rules: handbook 01 §4, 02 §7. Names are internal names.
 */
#include "auth.h"
#include "mailbox.h"
#include "mbentry.h"
#include "mboxname.h"

/* Path of mailboxes.db. */
void mboxlist_fname(struct buf *path);

/* ---- look-ups (read their own transaction's changes if txn is not NULL) ---- */
/* Ordinary look-up: tombstones and intermediates do not exist, reserved: IMAP_MAILBOX_RESERVED. */
int mboxlist_lookup(const char *name, mbentry_t **entryp, struct txn *txn);
int mboxlist_lookup_allow_all(const char *name, mbentry_t **entryp, struct txn *txn);
/* By uniqueid; an I record whose N record does not point back is not trusted:
 * IMAP_MAILBOX_NONEXISTENT. Tombstones are returned with allow_all only. */
int mboxlist_lookup_by_uniqueid(const char *uniqueid, mbentry_t **entryp, bool allow_all, struct txn *txn);
bool mboxlist_uniqueid_in_use(const char *uniqueid, struct txn *txn);

/* Highest LSN of what this process has read from mailboxes.db: txn_wait for it before
 * telling a client (changes of mailboxes.db are visible before they are durable). */
uint64_t mboxlist_seen_lsn(void);
/* The same for one name that was looked up: only changes of its owner's are waited for, not those of all others. */
uint64_t mboxlist_name_lsn(const char *name);

/* ---- writing (inside txn, namespace lock of the owner held exclusively) ---- */
/* Store N and I records of one name (handbook 01 §4.6); history is kept; the I record of another
 * mailbox that had this name until now stays as its tombstone (mboxlist_former.h). */
int mboxlist_update_entry(struct txn *txn, const char *name, const mbentry_t *entry);
/* Remove the name: N record and the I record that points to it. */
int mboxlist_delete_entry(struct txn *txn, const char *name);
/* The same, but the I record stays as the tombstone of the mailbox. */
int mboxlist_purge_entry(struct txn *txn, const char *name);

/* ---- iteration, in database order; callback's non-zero return stops. Without flags: live
 * mailboxes (also remote ones) outside the DELETED tree. Inside a transaction its changes are seen. ---- */
typedef int mboxlist_cb(const mbentry_t *mbentry, void *rock);
#define MBOXTREE_TOMBSTONES 1
#define MBOXTREE_INTERMEDIATES 2
#define MBOXTREE_SKIP_ROOT 4
#define MBOXTREE_DELETED 8     /* also the DELETED tree */
int mboxlist_allmbox(const char *prefix, mboxlist_cb *cb, void *rock, unsigned flags);
int mboxlist_mboxtree(const char *mboxname, mboxlist_cb *cb, void *rock, unsigned flags);
int mboxlist_usermboxtree(const char *userid, mboxlist_cb *cb, void *rock, unsigned flags);
/* Mailboxes of this server without owner, deleted ones, too. */
int mboxlist_allshared(mboxlist_cb *cb, void *rock);
/* All user ids that have an INBOX. */
int mboxlist_alluser(int (*cb)(const char *userid, void *rock), void *rock);

/* LIST/LSUB machinery of imapd: calls cb for each mailbox or bare hierarchy name
 * that matches one of the patterns (external names), in LIST order. */
struct findall_data {
    const mbname_t *mbname;   /* NULL: a name that no mailbox can have, such as "Shared Folders" */
    const mbentry_t *mbentry; /* NULL: name without a mailbox */
    extname_t extname;        /* as to be printed */
    bool is_exactmatch, has_children;
};
typedef int findall_cb(const struct findall_data *data, void *rock);
int mboxlist_findall(const struct namespace *ns, extnames_t patterns, bool isadmin, const char *userid,
                     const struct auth_state *auth, findall_cb *cb, void *rock);
int mboxlist_findsub(const struct namespace *ns, extnames_t patterns, bool isadmin, const char *userid,
                     const struct auth_state *auth, findall_cb *cb, void *rock);

/* ---- operations (floor 4) ---- */
struct mboxlist_createargs {
    const char *name;
    uint32_t mbtype;              /* MBTYPE_* */
    const char *partition;        /* NULL: as the parent, then default */
    const char *acl;              /* NULL: as handbook 02 §7.2 */
    const char *uniqueid;         /* NULL: a new one, checked against all existing */
    uint32_t uidvalidity, options;
    modseq_t highestmodseq, createdmodseq, foldermodseq;
    const char *specialuse;       /* "\\Sent \\Drafts" or NULL */
    bool isadmin, from_sync, no_parents, localonly, nocheck_quota;
    const char *userid;           /* acting user */
    const struct auth_state *auth;
};
/* Checks and creates, missing parents included. *mboxp (optional) is the new
 * mailbox, open for writing in txn. */
int mboxlist_createmailbox(struct txn *txn, const struct mboxlist_createargs *args, struct mailbox **mboxp);
/* May this session create it? (checks only; CREATE's error codes) */
int mboxlist_createmailboxcheck(const struct mboxlist_createargs *args);

#define MBOXLIST_DELETE_CHECKACL 1
#define MBOXLIST_DELETE_LOCALONLY 2
#define MBOXLIST_DELETE_SILENT 4   /* replica: no new modseq, no tombstone rename */
#define MBOXLIST_DELETE_IMMEDIATE 8
#define MBOXLIST_DELETE_FORCE 16   /* also with children, special use ... */
/* By delete_mode: delayed = rename to DELETED, immediate = remove. */
int mboxlist_deletemailbox(struct txn *txn, const char *name, bool isadmin, const char *userid,
                           const struct auth_state *auth, unsigned flags);

#define MBOXLIST_RENAME_SILENT 1
#define MBOXLIST_RENAME_FORCEUSER 2
#define MBOXLIST_RENAME_NOCHECK 4
/* One mailbox; children are renamed by mboxlist_renametree in the same txn. */
int mboxlist_renamemailbox(struct txn *txn, const mbentry_t *old, const char *newname, const char *partition,
                           uint32_t uidvalidity, bool isadmin, const char *userid, const struct auth_state *auth,
                           unsigned flags);
typedef void mboxlist_rename_cb(const char *oldname, const char *newname, void *rock);
int mboxlist_renametree(struct txn *txn, const char *oldname, const char *newname, const char *partition,
                        bool isadmin, const char *userid, const struct auth_state *auth, unsigned flags,
                        mboxlist_rename_cb *cb, void *rock);

/* rights NULL = delete the identifier; "+lr"/"-lr" as in SETACL. */
int mboxlist_setacl(struct txn *txn, const char *name, const char *identifier, const char *rights, bool isadmin,
                    const char *userid, const struct auth_state *auth);
/* What the ACL says of one user it says of the other, added to what it said of him. Nothing changes if it names him not. */
int mboxlist_renameacl(struct txn *txn, const char *name, const char *olduser, const char *newuser);
/* Replace the whole ACL (replication). foldermodseq 0: next. */
int mboxlist_sync_setacls(struct txn *txn, const char *name, const char *acl, modseq_t foldermodseq);

/* Quota root operations over the tree (handbook 01 §6.7). */
struct quota;
int mboxlist_setquotas(struct txn *txn, const char *root, const int64_t *newlimits, modseq_t modseq, bool force);
int mboxlist_unsetquota(struct txn *txn, const char *root);

/* Autocreate of a user's INBOX (handbook 02 §7.2): IMAP_MAILBOX_NONEXISTENT if
 * the configuration does not allow it for this user. */
int autocreate_user(const char *userid, const struct namespace *ns);

/* Remove what a user has beside mailboxes: quota roots, metadata files (DELETE of an INBOX). wipe: seen state too. Once in
 * a transaction is enough. */
int user_deletedata(struct txn *txn, const char *userid, bool wipe);
/* His quota limits and subscriptions go into the tombstone that this transaction will leave of him. Before anything is removed. */
int user_keep_for_undelete(struct txn *txn, const char *userid);
/* Remove a user as a whole: mailboxes (deleted ones too if `deleted`), quota roots, metadata files (UNUSER, XFER).
 * how: MBOXLIST_DELETE_*. */
int user_remove(struct txn *txn, const char *userid, bool deleted, unsigned how);

#endif
