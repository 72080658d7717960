/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_ANNOTATION_CODEC_H
#define INCLUDED_ANNOTATION_CODEC_H
/*
 * annotation_codec -- keys and values of annotations.db and cyrus.annotations 
 * (handbook 01 §7.5, §7.6)
 *
 * Values are written as 3.6.1 does on 64-bit little-endian machines, whatever this machine is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "util.h"

#define ANNOT_OWNER_TOKEN "[.OwNeR.]" /* stands for the owner in keys */

struct annotation_key {
    const char *scope; /* uniqueid of the mailbox, or the UID in decimal; "": server */
    const char *entry;
    const char *userid; /* "": shared; ANNOT_OWNER_TOKEN: the owner */
};
struct annotation_value {
    struct buf value; /* view when read */
    modseq_t modseq;
    uint8_t flags;
};
#define ANNOTATION_FLAG_DELETED 1

/* Append the key "scope NUL entry NUL userid NUL". userid equal to owner (may be NULL) becomes
 * the token. entry NULL: only "scope NUL"; userid NULL: only up to the NUL after entry (prefixes
 * for iteration). */
void annotation_key_print(const char *scope, const char *entry, const char *userid,
                          const char *owner, struct buf *out);
void annotation_key_print_uid(uint32_t uid, const char *entry, const char *userid,
                              const char *owner, struct buf *out);
/* Pointers into base. IMAP_MAILBOX_BADFORMAT unless it is exactly three NUL-ended parts. */
int annotation_key_parse(const char *base, size_t len, struct annotation_key *key);
/* Replace *out by the value. */
void annotation_value_print(const struct annotation_value *v, struct buf *out);
/* v->value is a view into base. Short (old) values are fine; IMAP_MAILBOX_BADFORMAT for a length
 * beyond the end. */
int annotation_value_parse(const char *base, size_t len, struct annotation_value *v);

#endif
