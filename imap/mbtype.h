/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBTYPE_H
#define INCLUDED_MBTYPE_H
/*
 * mbtype -- mailbox types and their letters (handbook 01 §4.4, 02 §1.6)
 *
 * A type is a 4-bit number plus flag bits. As text: the type letter, then flag
 * letters in the order d m r z i l.
 */
#include <stdbool.h>
#include <stdint.h>

struct buf;

enum {
    MBTYPE_EMAIL = 0x0,
    MBTYPE_NETNEWS = 0x1,
    MBTYPE_JMAPSUBMIT = 0x2,
    MBTYPE_JMAPPUSHSUB = 0x3,
    MBTYPE_SIEVE = 0x5,
    MBTYPE_COLLECTION = 0x8,
    MBTYPE_CALENDAR = 0x9,
    MBTYPE_ADDRESSBOOK = 0xA,
    MBTYPE_TYPEMASK = 0xF,

    MBTYPE_REMOTE = 0x10,
    MBTYPE_RESERVE = 0x20,
    MBTYPE_MOVING = 0x40,
    MBTYPE_DELETED = 0x80,
    MBTYPE_INTERMEDIATE = 0x100,
    MBTYPE_LEGACY_DIRS = 0x200,
    MBTYPE_FLAGMASK = 0x3F0
};
#define mbtype_isa(mbtype) ((mbtype)&MBTYPE_TYPEMASK)
#define mbtypes_unavailable(mbtype) ((mbtype) & (MBTYPE_MOVING | MBTYPE_RESERVE))

/* Longest text with NUL. */
#define MBTYPE_STRING_MAX 8
/* Text of a type; a number outside the table prints as 'e'. Returns buf. */
const char *mbtype_to_string(uint32_t mbtype, char buf[MBTYPE_STRING_MAX]);
/* Any order of letters; no type letter means e. IMAP_MAILBOX_BADTYPE for an unknown letter or two
 * types. */
int mbtype_from_string(const char *s, uint32_t *mbtype);

#endif
