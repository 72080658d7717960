/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MAILBOX_INDEX_H
#define INCLUDED_MAILBOX_INDEX_H
/*
 * mailbox_index -- the bytes of cyrus.index (handbook 02 §3)
 *
 * Header and records of minor versions 6-10 and 12-17, read and written byte by
 * byte. Times are Unix seconds (32 bits unsigned on disk), sizes bytes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "message_guid.h"
#include "strarray.h"
#include "util.h"

typedef uint64_t conversation_id_t; /* 0: none */

#define MAILBOX_MINOR_VERSION 17
#define MAX_USER_FLAG_WORDS 4
#define INDEX_HEADER_MAX 160 /* largest header of any version read here */
#define INDEX_RECORD_MAX 112

/* system flags */
#define FLAG_ANSWERED (1u << 0)
#define FLAG_FLAGGED (1u << 1)
#define FLAG_DELETED (1u << 2)
#define FLAG_DRAFT (1u << 3)
#define FLAG_SEEN (1u << 4) /* of the owner, or of everybody with shared seen */
/* What is in the index says nothing of other users: whoever asks for a user goes through seen_view (mailbox.h). */
static inline bool index_flags_seen(uint32_t system_flags)
{
    return (system_flags & FLAG_SEEN) != 0;
}
#define FLAGS_SYSTEM 0x0000ffffu
/* internal flags */
#define FLAG_INTERNAL_SNOOZED (1u << 26)
#define FLAG_INTERNAL_SPLITCONVERSATION (1u << 27)
#define FLAG_INTERNAL_NEEDS_CLEANUP (1u << 28)
#define FLAG_INTERNAL_ARCHIVED (1u << 29)
#define FLAG_INTERNAL_UNLINKED (1u << 30)
#define FLAG_INTERNAL_EXPUNGED (1u << 31)
#define FLAGS_INTERNAL 0xffff0000u

/* options of a mailbox */
#define OPT_POP3_NEW_UIDL (1u << 0)
#define OPT_IMAP_CONDSTORE (1u << 1) /* retired, never written */
#define OPT_IMAP_SHAREDSEEN (1u << 2)
#define OPT_IMAP_DUPDELIVER (1u << 3)
#define OPT_IMAP_HAS_ALARMS (1u << 4)
#define OPT_MAILBOX_NEEDS_UNLINK (1u << 29)
#define OPT_MAILBOX_NEEDS_REPACK (1u << 30)
#define OPT_MAILBOX_DELETED (1u << 31)
#define OPTS_VALID                                                                         \
    (OPT_POP3_NEW_UIDL | OPT_IMAP_SHAREDSEEN | OPT_IMAP_DUPDELIVER | OPT_IMAP_HAS_ALARMS | \
     OPT_MAILBOX_NEEDS_UNLINK | OPT_MAILBOX_NEEDS_REPACK | OPT_MAILBOX_DELETED)

struct index_header {
    uint32_t generation_no;
    uint32_t format; /* 0 */
    uint32_t minor_version;
    uint32_t start_offset; /* bytes of the header */
    uint32_t record_size;
    uint32_t num_records; /* expunged ones included */
    time_t last_appenddate;
    uint32_t last_uid;
    uint64_t quota_mailbox_used; /* bytes of not-expunged messages */
    time_t pop3_last_login;
    uint32_t uidvalidity;
    uint32_t deleted, answered, flagged; /* not-expunged records with the flag */
    uint32_t options;                    /* OPT_* */
    uint32_t leaked_cache_records;
    modseq_t highestmodseq, deletedmodseq;
    uint32_t exists; /* not-expunged records */
    time_t first_expunged;
    time_t last_repack_time;
    uint32_t header_file_crc;
    uint32_t sync_crc_basic, sync_crc_annot;
    uint32_t recentuid;
    time_t recenttime;
    time_t pop3_show_after;
    uint64_t quota_annot_used; /* bytes */
    uint32_t unseen;           /* not-expunged records without FLAG_SEEN */
    modseq_t createdmodseq;
    time_t changes_epoch;
};

struct index_record {
    uint32_t uid;
    uint32_t recno; /* 1-based place in the file; not stored */
    time_t internaldate, sentdate, gmtime, last_updated, savedate;
    uint32_t size, header_size; /* bytes */
    uint64_t cache_offset;      /* 48 bits */
    uint32_t system_flags, internal_flags;
    uint32_t user_flags[MAX_USER_FLAG_WORDS];
    uint32_t cache_version; /* 16 bits */
    struct message_guid guid;
    modseq_t modseq, createdmodseq;
    conversation_id_t cid;
    uint32_t cache_crc;
};

static inline bool index_record_user_flag(const struct index_record *rec, int slot)
{
    return (rec->user_flags[slot / 32] >> (slot % 32)) & 1;
}
void index_record_set_user_flag(struct index_record *rec, int slot, bool on);

/* Sizes of a version; false for one that is not read here. crcs: the version has header and
 * record CRCs (>= 12). */
struct index_version {
    uint32_t minor, header_size, record_size;
    bool crcs;
};
bool index_version_lookup(uint32_t minor, struct index_version *v);

/*
 * Read a header from the first len bytes of a file (at least INDEX_HEADER_MAX or the whole
 * file). Values that 3.6.1 sets after reading are set: options for an empty mailbox,
 * highestmodseq never 0, fields old versions lack; now (seconds) is used where nothing better
 * is known. IMAP_MAILBOX_BADFORMAT, IMAP_MAILBOX_CHECKSUM.
 */
int index_header_read(struct index_header *hdr, const char *base, size_t len, time_t now);
/* IMAP_MAILBOX_BADFORMAT if num_records do not fit into a file of that many bytes. */
int index_header_check_size(const struct index_header *hdr, uint64_t filesize);
/* Write hdr in its own minor_version, with the CRC: start_offset bytes. Returns how many, 0 for
 * an unknown version. out has room for INDEX_HEADER_MAX. */
size_t index_header_write(const struct index_header *hdr, char *out);
/* Set minor_version, start_offset and record_size; false for an unknown version. */
bool index_header_set_version(struct index_header *hdr, uint32_t minor);
/* Older versions have no place for these counts: they stay 0, which for sync_crc_annot means "not known". */
static inline bool index_header_counts_annots(const struct index_header *hdr)
{
    return hdr->minor_version >= 13;
}
static inline bool index_header_counts_unseen(const struct index_header *hdr)
{
    return hdr->minor_version >= 14;
}
/* Fresh header of a new, empty mailbox in the present version. */
void index_header_init(struct index_header *hdr);
/* File offset of record recno (1-based). */
uint64_t index_record_offset(const struct index_header *hdr, uint32_t recno);

/* Read one record of that version from record_size bytes. IMAP_MAILBOX_CHECKSUM: the CRC is
 * wrong; *rec holds what could be read all the same, uid included. IMAP_MAILBOX_BADFORMAT: len
 * too small or unknown version. */
int index_record_read(struct index_record *rec, uint32_t minor, const char *base, size_t len);
/* Only the UID (for binary search); no check. */
uint32_t index_record_read_uid(const char *base);
/* Write one record with its CRC: record_size bytes, returned; 0 for an unknown version. */
size_t index_record_write(const struct index_record *rec, uint32_t minor, char *out);

/* What a time becomes on disk: 0..2^32-1. Records in memory hold only such times, or their CRCs
 * would differ. */
time_t index_time(time_t t);

/* ---- accounting ---- */

/* What the stored annotations of one message add: XOR of their sync_crc_annot values and bytes of
 * values. */
struct annot_sum {
    uint32_t crc;
    uint64_t used;
};

/*
 * Bring exists, deleted, answered, flagged, unseen, quota_mailbox_used, quota_annot_used,
 * first_expunged and both sync CRCs in line with one record that changes from oldrec (NULL:
 * new) to newrec (NULL: gone from the file). Sums (NULL: none) are those of the message's
 * annotations before and after. Does not touch num_records, last_uid, modseqs.
 * Counts never go below 0; such a step returns IMAP_MAILBOX_BADFORMAT (the header was wrong
 * before; recount).
 */
int index_header_apply_delta(struct index_header *hdr, const struct index_record *oldrec,
                             const struct annot_sum *oldsum, const struct index_record *newrec,
                             const struct annot_sum *newsum, const strarray_t *flagnames);
/* Set those fields to the values of a mailbox without records; then apply every record with
 * oldrec NULL. */
void index_header_reset_counts(struct index_header *hdr);

/* ---- text of flags and options ---- */
/* "P", "PSDA" ...: options of the sync protocol (handbook 02 §3.3). */
#define OPTIONS_STRING_MAX 8
const char *mailbox_options_to_string(uint32_t options, char out[OPTIONS_STRING_MAX]);
uint32_t mailbox_options_from_string(const char *s); /* unknown letters are ignored */
/* "\\Answered" ... with bit and log code. */
struct index_flag_name {
    uint32_t bit;
    const char *name;
    const char *logcode;
};
extern const struct index_flag_name index_system_flags[]; /* ends with bit 0 */
/* Bit of a system flag name (any case), 0 if it is none. */
uint32_t index_system_flag_bit(const char *name);
/* "AN|DE|EX" for log lines, "" for none (handbook 02 §3.2). */
#define FLAGS_LOGSTRING_MAX 64
const char *index_flags_logstring(uint32_t flags, char out[FLAGS_LOGSTRING_MAX]);

#endif
