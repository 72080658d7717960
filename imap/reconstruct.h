/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_RECONSTRUCT_H
#define INCLUDED_RECONSTRUCT_H
/*
 * reconstruct -- bring index, cache, header, entry and files of a mailbox in line (handbook 02 §8, 05 §3.13)
 *
 * A mailbox is one transaction: it is as before, or repaired. Nothing is removed because something could not be
 * read: what can't be decided is told and left. Conversations and quota roots that can no longer be kept in step by
 * differences are counted anew at the end (reconstruct_finish).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mbentry.h"
#include "message_guid.h"
#include "ptrarray.h"
#include "strarray.h"

struct namespace;

enum {
    RECONSTRUCT_DRYRUN = 1 << 0,          /* -n: the same findings, nothing is changed */
    RECONSTRUCT_NOSTAT = 1 << 1,          /* -s: sizes of files are not looked at */
    RECONSTRUCT_REPARSE = 1 << 2,         /* -G: every message is read */
    RECONSTRUCT_NEWUID = 1 << 3,          /* -R: a file with another GUID is a new message */
    RECONSTRUCT_UNLINK = 1 << 4,          /* -U: it is removed */
    RECONSTRUCT_IGNORE_ODD = 1 << 5,      /* -o */
    RECONSTRUCT_REMOVE_ODD = 1 << 6,      /* -O */
    RECONSTRUCT_PREFER_MBOXLIST = 1 << 7, /* -M: UIDVALIDITY of mailboxes.db wins */
    RECONSTRUCT_NEW_UNIQUEID = 1 << 8,    /* -I */
    RECONSTRUCT_ACCEPT_LOSS = 1 << 9,     /* all messages of a mailbox may be gone */
    RECONSTRUCT_KEEP_LOST = 1 << 10,      /* records whose files are not there stay: the files may come back */
};

struct reconstruct {
    unsigned flags;
    void (*say)(const char *line, void *rock); /* one finding, without LF */
    void *rock;
    uint64_t rate;      /* bytes of message files a second that are read to be verified; 0: no limit */
    bool (*stop)(void); /* may be NULL: it is to end early */
    /* results, added up */
    unsigned findings;   /* lines */
    unsigned left;       /* findings that were not put right */
    unsigned failed;     /* mailboxes that could not be worked on; told on stderr */
    bool wrong_uniqueid; /* two names with one uniqueid, without -I */
    /* for reconstruct_finish */
    strarray_t users, quotaroots;
};

/* One mailbox. 0 also when something is left; an imap_err code: it is as it was (told). */
int reconstruct_mailbox(struct reconstruct *rc, const char *name);
/* What the repaired mailboxes changed beyond them. Frees the lists; an imap_err code when a count failed (logged). */
int reconstruct_finish(struct reconstruct *rc);

/* The entry of a mailbox is made, or made right, from a cyrus.header or the directory that holds it (-P). */
int reconstruct_header_path(struct reconstruct *rc, const char *path);
/*
 * Directories of mailboxes that mailboxes.db does not know, on all partitions: those whose header names `top` or a mailbox below it
 * (NULL: all) get their entries (-f). found (may be NULL) gets their internal names.
 */
int reconstruct_discover(struct reconstruct *rc, const char *top, strarray_t *found);
/*
 * An entry for directories of the older kind (by name) that lie on this partition (-p); reconstruct_mailbox then makes the
 * rest. fresh: identity and rights of an old header are not taken over (-x). IMAP_MAILBOX_NONEXISTENT: no such directory.
 */
int reconstruct_create(struct reconstruct *rc, const char *name, const char *partition, bool fresh);
/* Another version of the index (0: the newest); *was is the old one. */
int reconstruct_version(struct reconstruct *rc, const char *name, int version, int *was);

/* A record whose file is not the message, and why. */
struct reconstruct_message {
    uint32_t uid;
    struct message_guid guid;
    const char *fault;
};
struct reconstruct_refill {
    uint64_t rate;      /* before: as in struct reconstruct */
    bool (*stop)(void);
    struct reconstruct_message *v;
    size_t n;
};
/* All such records of a mailbox; every file is read. Nothing is changed or told. IMAP_CANCELLED: by stop. */
int reconstruct_find_refill(const char *name, struct reconstruct_refill *refill);
void reconstruct_free_refill(struct reconstruct_refill *refill);
/*
 * The file at `path` becomes that of the record, if its bytes have the GUID and the fault is still there: one transaction.
 * IMAP_NOTFOUND: there is no such record any more.
 */
int reconstruct_put_back(const char *name, const struct reconstruct_message *m, const char *path);

/*
 * Index, cache and message files of a mailbox are compared with their sums; each fault is told. When there is none, the time
 * is remembered, by uniqueid (verified_pass.h).
 */
int reconstruct_verify(struct reconstruct *rc, const mbentry_t *entry);

/* The same of databases, each once between begin and end; since: leave out what was whole in the last so many seconds. */
struct reconstruct_databases {
    struct reconstruct *rc;
    int64_t since;
    double began; /* monotonic seconds */
    uint64_t bytes;
    strarray_t done; /* paths */
};
void reconstruct_databases_begin(struct reconstruct_databases *v, struct reconstruct *rc, int64_t since);
void reconstruct_databases_end(struct reconstruct_databases *v);
/* Those of the server, and of all who have or had something of their own. Functions return 0, or why a time can't be remembered. */
int reconstruct_verify_databases(struct reconstruct_databases *v);
/* Of one user; of one mailbox. */
int reconstruct_verify_user(struct reconstruct_databases *v, const char *userid);
int reconstruct_verify_annotations(struct reconstruct_databases *v, const mbentry_t *entry);

#endif
