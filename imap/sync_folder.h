/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_FOLDER_H
#define INCLUDED_SYNC_FOLDER_H
/*
 * sync_folder -- the state of one mailbox as replication carries it (handbook 03 §3.1)
 *
 * The same struct is read from an answer, from APPLY MAILBOX, or from an open
 * mailbox, and printed for either. Records are apart from it: a parsed folder
 * points at their list, a printed one gets them from the caller.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "mbentry.h"
#include "sync_annot.h"
#include "txn.h"

struct dlist;
struct mailbox;

struct sync_folder {
    char *uniqueid, *name; /* internal name */
    char *partition;       /* NULL: intermediate */
    char *acl, *quotaroot; /* quotaroot NULL: none */
    char *replaces;        /* UNIQUEID of the mailbox whose place it takes (APPLY only, doc/sync-extensions.md); NULL: none */
    uint32_t mbtype;       /* without MBTYPE_LEGACY_DIRS */
    uint32_t options;      /* the four that travel */
    uint32_t last_uid, recentuid, uidvalidity;
    uint32_t crc_basic, crc_annot; /* 0: not to be compared */
    bool has_crc_annot;
    modseq_t highestmodseq;
    modseq_t xconvmodseq, raclmodseq;     /* 0: not told */
    modseq_t createdmodseq, foldermodseq; /* 0: not told */
    time_t recenttime, last_appenddate, pop3_last_login, pop3_show_after;
    modseq_t since_modseq; /* 0: none */
    uint32_t since_crc, since_crc_annot;
    struct sync_annots annots;
    const struct dlist *records; /* parsed only: borrowed from the dlist; NULL: no RECORD */
};

/* The bits of OPTIONS that travel (handbook 03 §3.3). */
#define SYNC_FOLDER_OPTIONS \
    (OPT_POP3_NEW_UIDL | OPT_IMAP_SHAREDSEEN | OPT_IMAP_DUPDELIVER | OPT_IMAP_HAS_ALARMS)

/* Frees the strings; the struct is empty afterwards. */
void sync_folder_fini(struct sync_folder *folder);
static inline bool sync_folder_is_plain(const struct sync_folder *folder)
{
    return !(folder->mbtype & (MBTYPE_INTERMEDIATE | MBTYPE_DELETED));
}

/*
 * Read the kvlist of a MAILBOX line. forapply: the keys that APPLY MAILBOX needs are required, else
 * those of an answer. IMAP_PROTOCOL_BAD_PARAMETERS; *out is empty then.
 */
int sync_folder_parse(const struct dlist *kl, bool forapply, struct sync_folder *out);

/* A kvlist called name (a root, the caller's): all keys in the order of 3.6.1, without RECORD. */
struct dlist *sync_folder_print(const struct sync_folder *folder, const char *name);

/*
 * What an update compares (handbook 03 §10.5 step 5), but for the checksums: true when nothing differs. fn
 * (may be NULL) is told the field in the words of the wire, and both values as text.
 */
typedef void sync_folder_differ(const char *field, const char *ours, const char *theirs,
                                void *rock);
bool sync_folder_same(const struct sync_folder *ours, const struct sync_folder *theirs,
                      sync_folder_differ *fn, void *rock);
bool sync_folder_same_crcs(const struct sync_folder *ours, const struct sync_folder *theirs);

/* State of an open mailbox, staged changes included. Replaces *out. */
int sync_folder_read(struct mailbox *mailbox, struct sync_folder *out);
/* Of an intermediate (handbook 03 §4.1). */
void sync_folder_read_intermediate(const mbentry_t *mbentry, struct sync_folder *out);

/*
 * A mailbox that cannot be replicated: index older than version 10, no UNIQUEID, a record without GUID:
 * IMAP_MAILBOX_NOTSUPPORTED.
 */
int sync_folder_check_supported(struct mailbox *mailbox);

#endif
