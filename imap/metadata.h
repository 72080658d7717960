/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_METADATA_H
#define INCLUDED_METADATA_H
/*
 * metadata -- annotations of the server and of mailboxes as clients see them (RFC 5464, handbook 04 §3.17)
 *
 * Entries are full names, "/shared/comment", "/private/comment". Some are kept in the
 * annotation database, some are computed, some are options of the mailbox or files.
 * Who may read and write what is decided here.
 */
#include <stdbool.h>
#include <stdint.h>

#include "auth.h"
#include "buf.h"
#include "mbentry.h"
#include "strarray.h"
#include "txn.h"

struct mailbox;

struct metadata_who {
    const char *userid;
    const struct auth_state *auth;
    bool isadmin, ignorequota;
    bool silent; /* of replication: no modseq rises, nothing is logged */
};

/* value NULL: the entry has none. */
typedef void metadata_cb(const char *entry, const struct buf *value, void *rock);
/*
 * Calls cb for each entry that one of the patterns (* and %) names; an entry without wildcard that has no
 * value is told too. mbentry NULL: the server. IMAP_PERMISSION_DENIED: nothing of it may be read.
 */
int metadata_get(const struct metadata_who *who, const mbentry_t *mbentry,
                 const strarray_t *patterns, metadata_cb *cb, void *rock);
/*
 * Sets the entry, value NULL removes it. In txn, which takes the locks. IMAP_PERMISSION_DENIED, IMAP_ANNOTATION_BADVALUE,
 * IMAP_ANNOTATION_BADENTRY, IMAP_PROTOCOL_BAD_PARAMETERS, IMAP_MAILBOX_SPECIALUSE, IMAP_QUOTA_EXCEEDED.
 */
int metadata_set(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                 const char *entry, const struct buf *value);

/* ---- the entries (metadata_entries.c) ---- */
enum metadata_scope { METADATA_SERVER, METADATA_MAILBOX, METADATA_MESSAGE };
enum metadata_type { METADATA_STRING, METADATA_BOOLEAN, METADATA_UINT, METADATA_INT };
enum { METADATA_SHARED = 1, METADATA_PRIVATE = 2 };

struct metadata_entry;
/* What computed entries are made of. */
struct metadata_source {
    const struct metadata_who *who;
    const mbentry_t *mbentry;
    struct mailbox *mailbox; /* opened at the first need */
    int r;                   /* of opening it */
};
struct metadata_entry {
    const char *name; /* "/comment" */
    unsigned set;     /* METADATA_SHARED | METADATA_PRIVATE: may be set */
    enum metadata_type type;
    bool indb;         /* kept in the database: shows as shared and as private */
    bool isprivate;    /* computed, and shows as private instead of shared */
    const char *extra; /* rights needed to set the shared value */
    /* Computed value; false: none. NULL for those in the database. */
    bool (*get)(struct metadata_source *src, struct buf *out);
    /* Checks or takes the value (lower case and the like into *value). NULL: by type. */
    int (*set_fn)(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                  struct buf *value);
};
extern const struct metadata_entry metadata_server_entries[],
    metadata_mailbox_entries[]; /* end with name NULL */
/* Built in, or from annotation_definitions; NULL: unknown. */
const struct metadata_entry *metadata_entry_find(enum metadata_scope scope, const char *name);
/* May an unknown name be set? /vendor/TOKEN of others always, else annotation_allow_undefined. */
bool metadata_name_allowed(const char *name);

/* Computed values (metadata_values.c). */
bool metadata_open(struct metadata_source *src);

#endif
