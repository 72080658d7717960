/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXNAME_H
#define INCLUDED_MBOXNAME_H
/*
 * mboxname -- mailbox names in all their spellings (handbook 02 §1.1-§1.5, 01 §4.1)
 *
 *   internal  example.org!user.e^ve.Sent     cyrus.header, replication, logs, quota roots
 *   dbname    example.org \x1d user \x1f e.ve \x1f Sent   mailboxes.db, sub
 *   external  Other Users/e.ve@example.org/Sent           clients, by namespace and user
 *   userid    e.ve@example.org
 *   sync and MUPDATE: the internal name as counted bytes
 *
 * The internal name is a string, each other spelling a type of its own (mbname_forms.h).
 *
 * An mbname_t holds the parts: localpart, domain, boxes (real dots, modified
 * UTF-7), time of deletion. Every spelling is made from the parts. Nothing here
 * looks a name up; whether a name is allowed is mboxname_policycheck()'s affair.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mbname_forms.h"
#include "namespace.h"
#include "strarray.h"

struct buf;

#define MAX_MAILBOX_NAME 490    /* bytes of an allowed internal name */
#define MAX_MAILBOX_BUFFER 1024 /* bytes of any derived name, NUL included */
#define MAX_MAILBOX_PATH 4096   /* bytes of a file path, NUL included */
#define DB_DOMAINSEP_CHAR '\x1d'
#define DB_HIERSEP_CHAR '\x1f'
#define DB_USER_PREFIX "user\x1f"
#define INTUSER_PREFIX "user."

typedef struct mbname mbname_t;

/* ---- make (the caller frees with mbname_free); never NULL unless said otherwise ---- */
mbname_t *mbname_from_userid(const char *userid);   /* split at the last '@'; NULL: no user */
mbname_t *mbname_from_intname(const char *intname); /* NULL or "": no parts */
/* Counted bytes from a disk or a peer. NULL: no name is spelled so (NUL or other controls, '/', an empty component, a
 * separator of another form); the caller refuses it, and mbname_log_refused() logs it. */
mbname_t *mbname_from_dbkey(dbname_t key);
mbname_t *mbname_from_sync(syncname_t name);
mbname_t *mbname_from_mupdate(mupdatename_t name);
/* A quota root is spelled so: a name, or a domain with its '!'. */
bool mbname_isquotaroot(syncname_t name);
/* "what: bytes=<hex> length=<n>", as an error; of very many bytes the first ones. */
void mbname_log_refused(const char *what, const char *base, size_t len);
mbname_t *mbname_from_localdom(const char *localpart, const char *domain);
/* Address of a delivery, "localpart[+box/box]@domain"; boxes UTF-8. The separator is the
 * namespace's. */
mbname_t *mbname_from_recip(const char *recip, const struct namespace *ns);
/* What the client typed, for a session of userid (NULL: nobody). A name that cannot be spelled (a
 * '/' in a component ...) gives NULL: IMAP_MAILBOX_BADNAME. "\Sent" and the like are not resolved
 * here. */
mbname_t *mbname_from_extname(extname_t extname, const struct namespace *ns, const char *userid);
mbname_t *mbname_dup(const mbname_t *mbname);
void mbname_free(mbname_t **mbnamep);

/* ---- parts; strings are valid until the next change ---- */
const char *mbname_localpart(const mbname_t *); /* NULL: no user */
const char *mbname_domain(const mbname_t *);    /* NULL: default domain */
time_t mbname_isdeleted(const mbname_t *);      /* 0: not a deleted name */
const strarray_t *mbname_boxes(const mbname_t *);
bool mbname_is_inbox(const mbname_t *); /* user, no boxes, not deleted */
/* Its internal name can stand on a wire or a disk, and means it. Addresses and user ids may hold anything. */
bool mbname_issound(const mbname_t *);

void mbname_set_localpart(mbname_t *, const char *localpart); /* NULL: none */
void mbname_set_domain(mbname_t *, const char *domain); /* the default domain counts as none */
void mbname_set_isdeleted(mbname_t *, time_t when);
void mbname_set_boxes(mbname_t *, const strarray_t *boxes);
void mbname_push_boxes(mbname_t *, const char *box); /* at the end */
char *mbname_pop_boxes(mbname_t *);                  /* last box, the caller frees; NULL: none */
void mbname_truncate_boxes(mbname_t *, size_t len);
void mbname_downcaseuser(mbname_t *); /* localpart and domain to ASCII lower case */

/* ---- spellings; valid until the next change of the name or the next call of the same function */
const char *mbname_userid(const mbname_t *);  /* NULL: no user */
const char *mbname_intname(const mbname_t *); /* NULL: no parts at all */
dbname_t mbname_dbname(const mbname_t *);     /* none: no parts at all */
/* Append the literal that carries the name in MUPDATE: "{n+}" CRLF internal name. */
void mbname_print_mupdate(const mbname_t *, struct buf *out);
/* "localpart+box/box@domain", boxes UTF-8 */
const char *mbname_recip(const mbname_t *, const struct namespace *ns);
/* For a session of userid; none if this namespace has no spelling for it: deleted names in the
 * alternate one, domains that the session cannot see, what would be read as another mailbox. */
extname_t mbname_extname(const mbname_t *, const struct namespace *ns, const char *userid);

/* ---- LIST order: category first, then by dbname ---- */
enum mbname_category {
    MBNAME_INBOX,    /* own INBOX */
    MBNAME_INBOXSUB, /* INBOX.INBOX.foo in the standard namespace ...: below "INBOX" on the wire */
    MBNAME_OWNER,    /* own, beside INBOX (alternate namespace) */
    MBNAME_ALTINBOX, /* shown below altprefix */
    MBNAME_ALTPREFIX,
    MBNAME_OTHERUSER,
    MBNAME_SHARED,
    MBNAME_OWNERDELETED,
    MBNAME_OTHERDELETED,
    MBNAME_SHAREDDELETED,
    MBNAME_NONE /* no name */
};
enum mbname_category mbname_category(const mbname_t *, const struct namespace *ns,
                                     const char *userid);
/* <0, 0, >0 in the order of the parts: the order of dbnames as bytes. */
int mbname_cmp(const mbname_t *, const mbname_t *);
bool mbname_same_userid(const mbname_t *, const mbname_t *);
/* a and b are the same mailbox name, or b lies below a. */
bool mbname_contains(const mbname_t *a, const mbname_t *b);
/* Boxes both have in common. */
int mbname_common_ancestor_depth(const mbname_t *, const mbname_t *);

/* ---- on internal names ---- */
/* 0, or IMAP_MAILBOX_BADNAME: may a mailbox of this name be made? (handbook 02 §1.4) */
int mboxname_policycheck(const char *name);
bool mboxname_isusermailbox(const char *name,
                            bool isinbox); /* a user's mailbox; isinbox: only the INBOX itself */
bool mboxname_isdeletedmailbox(const char *name, time_t *when); /* when may be NULL */
bool mboxname_isnonimapmailbox(const char *name,
                               uint32_t mbtype); /* hidden from LIST (handbook 02 §1.6) */
bool mboxname_isspecialfolder(const char *name, uint32_t mbtype,
                              uint32_t wanttype);             /* by type, or by first box name */
bool mboxname_firstbox_is(const char *name, const char *box); /* box NULL or "": never */
bool mboxname_issubmissionmailbox(const char *name, uint32_t mbtype);
bool mboxname_userownsmailbox(const char *userid, const char *name);
bool mboxname_same_userid(const char *name1, const char *name2);
bool mboxname_isindeletedtree(const char *name); /* deleted or not: below the deleted prefix, or it */
/* Cuts the last component off, then the last one down to the domain and its '!'; false: nothing was left to cut. */
bool mboxname_cut(char *name);
/* child equals parent or lies below it (by components). */
bool mboxname_is_prefix(const char *child, const char *parent);
/* Internal names compared as 3.6.1 orders them in mailboxes.db (dbname bytes). */
int mboxname_cmp(const char *a, const char *b);
/* The following return what the caller frees, or NULL (no name) where there is none. */
char *mboxname_to_userid(const char *name);
char *mboxname_user_mbox(const char *userid,
                         const char *subfolder); /* subfolder: internal dots, or NULL */
dbname_t mboxname_to_dbname(const char *name);
char *mboxname_from_dbname(dbname_t dbname); /* NULL: as mbname_from_dbkey() */
char *mboxname_from_sync(syncname_t name);   /* NULL: as mbname_from_sync() */
char *
mboxname_parent(const char *name); /* NULL above the top; parent of user.u.INBOX.x is user.u */
char *mboxname_todeleted(const char *name, time_t when);
/* What the names of the deleted mailboxes of this tree begin with, without the separator. */
char *mboxname_deletedtree(const char *name);
char *mboxname_from_external(extname_t extname, const struct namespace *ns, const char *userid);
extname_t mboxname_to_external(const char *name, const struct namespace *ns, const char *userid);
/* For messages: as mboxname_to_external(), or the internal name itself where there is none. */
extname_t mboxname_to_shown(const char *name, const struct namespace *ns, const char *userid);
/* name with its leading oldparent replaced by newparent; NULL if it is neither oldparent nor
 * below it. */
char *mboxname_renamed(const char *name, const char *oldparent, const char *newparent);

#endif
