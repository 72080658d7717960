/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBENTRY_H
#define INCLUDED_MBENTRY_H
/*
 * mbentry -- one entry of mailboxes.db and its N and I records (handbook 01 §4)
 *
 * Values are dlists; names in memory are internal names, in records dbnames.
 * Reading is liberal (any key order, unknown keys), writing is exact. A record
 * that makes no sense is IMAP_MAILBOX_BADFORMAT, never the end of the process.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mbname_forms.h"
#include "mbtype.h"
#include "util.h"

struct buf;

/* One former name of a mailbox, as the I record keeps it. */
struct former_id {
    char *name; /* internal */
    char *partition;
    time_t mtime;
    uint32_t uidvalidity, mbtype;
    modseq_t createdmodseq, foldermodseq;
};

typedef struct mbentry {
    char *name;      /* internal */
    char *uniqueid;  /* NULL: unknown (remote entries, old stores) */
    uint32_t mbtype; /* MBTYPE_* */
    char *partition; /* NULL: none */
    char *server;    /* NULL: this one */
    char *acl;       /* "id\trights\t..."; NULL: not set, "" is an empty one */
    uint32_t uidvalidity;
    modseq_t createdmodseq, foldermodseq;
    time_t mtime;              /* of the record that was read */
    char *legacy_specialuse;   /* only from records of old formats */
    char *reason;              /* of a tombstone (FORMER_* in mboxlist_former.h); NULL: none is told */
    struct former_id *history; /* newest first; only known from an I record */
    size_t nhistory;
} mbentry_t;

mbentry_t *mbentry_new(const char *name); /* all else empty; name may be NULL */
mbentry_t *mbentry_dup(const mbentry_t *entry);
void mbentry_free(mbentry_t **entryp);
void mbentry_set_acl(mbentry_t *entry, const char *acl);
/* The state of an entry as a new first item of target's history (its name, mtime, numbers, type,
 * partition). */
void mbentry_add_history(mbentry_t *target, const mbentry_t *former);

/* Remote: flag r, or a server that is not this one (servername may be NULL). */
bool mbentry_is_remote(const mbentry_t *entry, const char *servername);

/* ---- keys (appended to out) ---- */
void mbentry_key_name(const char *name, struct buf *out);         /* "N" dbname */
void mbentry_key_uniqueid(const char *uniqueid, struct buf *out); /* "I" uniqueid */
/* Reverse ACL of an identifier: "AU" or "AS", 0x1E, identifier, 0x1E, dbname. name NULL: only the
 * prefix. */
void mbentry_key_racl(bool isuser, const char *identifier, const char *name, struct buf *out);
#define RACL_MARKER_KEY "AS\x1e"

/* ---- values ---- */
/* Replace *out by the value of the N / the I record; mtime is "now". History goes into the I
 * record only. */
void mbentry_print_n(const mbentry_t *entry, time_t mtime, struct buf *out);
void mbentry_print_i(const mbentry_t *entry, time_t mtime, struct buf *out);
/* Read a record; key without its first letter (dbname, or uniqueid). */
int mbentry_parse_n(dbname_t key, const char *val, size_t len, mbentry_t **entryp);
int mbentry_parse_i(const char *uniqueid, size_t idlen, const char *val, size_t len,
                    mbentry_t **entryp);
/* A record of the formats before 3.6: the key is the internal name (handbook 01 §4.9). */
int mbentry_parse_old(syncname_t name, const char *val, size_t len, mbentry_t **entryp);

#endif
