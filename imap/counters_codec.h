/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_COUNTERS_CODEC_H
#define INCLUDED_COUNTERS_CODEC_H
/*
 * counters_codec -- the bytes of a user's counters file, and how its
 * numbers move (handbook 01 §7.3)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

#define COUNTERS_VERSION 9
#define COUNTERS_SIZE 296

/* Modseqs in file order. */
enum counters_field {
    CTR_HIGHEST,
    CTR_MAIL,
    CTR_CALDAV,
    CTR_CARDDAV,
    CTR_NOTES,
    CTR_MAILFOLDERS,
    CTR_CALDAVFOLDERS,
    CTR_CARDDAVFOLDERS,
    CTR_NOTESFOLDERS,
    CTR_QUOTA,
    CTR_RACL,
    CTR_SUBMISSION,
    CTR_SUBMISSIONFOLDERS,
    CTR_MAILDELETED,
    CTR_CALDAVDELETED,
    CTR_CARDDAVDELETED,
    CTR_NOTESDELETED,
    CTR_SUBMISSIONDELETED,
    CTR_MAILFOLDERSDELETED,
    CTR_CALDAVFOLDERSDELETED,
    CTR_CARDDAVFOLDERSDELETED,
    CTR_NOTESFOLDERSDELETED,
    CTR_SUBMISSIONFOLDERSDELETED,
    CTR_DAVNOTIFICATION,
    CTR_DAVNOTIFICATIONDELETED,
    CTR_DAVNOTIFICATIONFOLDERS,
    CTR_DAVNOTIFICATIONFOLDERSDELETED,
    CTR_JMAPNOTIFICATION,
    CTR_JMAPNOTIFICATIONDELETED,
    CTR_JMAPNOTIFICATIONFOLDERS,
    CTR_JMAPNOTIFICATIONFOLDERSDELETED,
    CTR_SIEVE,
    CTR_SIEVEDELETED,
    CTR_SIEVEFOLDERS,
    CTR_SIEVEFOLDERSDELETED,
    CTR_NUMFIELDS
};

struct counters {
    uint32_t generation;
    modseq_t modseq[CTR_NUMFIELDS];
    uint32_t uidvalidity;
};

/* Any version; fewer than 8 bytes: all zero. IMAP_MAILBOX_BADFORMAT (length, version),
 * IMAP_MAILBOX_CHECKSUM. */
int counters_decode(struct counters *c, const char *base, size_t len);
/* COUNTERS_SIZE bytes of version 9 with CRC; generation as given. */
void counters_encode(const struct counters *c, char out[COUNTERS_SIZE]);

/* What changes. */
#define COUNTER_FOLDER 1 /* a change of the mailbox itself */
#define COUNTER_DELETED 2
#define COUNTER_QUOTA 4 /* only the quota field */
#define COUNTER_RACL 8  /* only the racl field */
/* The kind of a mailbox, which decides on the fields. */
enum counters_kind {
    CTRKIND_MAIL,
    CTRKIND_CALDAV,
    CTRKIND_CARDDAV,
    CTRKIND_NOTES,
    CTRKIND_SUBMISSION,
    CTRKIND_DAVNOTIFICATION,
    CTRKIND_JMAPNOTIFICATION,
    CTRKIND_SIEVE
};
/* By type, or by the name of the first box (handbook 02 §1.6). */
enum counters_kind counters_kind_of(const char *mboxname, uint32_t mbtype);

/* "Set": raise highest and the fields of the change to at least `last`. Returns true if anything
 * changed. */
bool counters_raise(struct counters *c, enum counters_kind kind, unsigned flags, modseq_t last);
/* "Next": raise, then highest + 1, stored in highest and the fields of the change; returned. */
modseq_t counters_advance(struct counters *c, enum counters_kind kind, unsigned flags,
                          modseq_t last);
/* max(uidvalidity, last) + 1, stored; and: raise if smaller (true: changed). */
uint32_t counters_advance_uidvalidity(struct counters *c, uint32_t last);
bool counters_raise_uidvalidity(struct counters *c, uint32_t atleast);

#endif
