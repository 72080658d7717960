/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CRC_H
#define INCLUDED_SYNC_CRC_H
/*
 * sync_crc -- the two checksums with which two servers compare a mailbox (handbook 02 §3.6)
 *
 * Each is the XOR over all records that are not expunged, so it can be kept as
 * records change: XOR the old record's value out and the new one's in.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox_index.h"
#include "strarray.h"

#define SYNC_CRC_BASIC_INIT 0u
#define SYNC_CRC_ANNOT_INIT 12345678u

/* One record: uid, modseq, last_updated, flags, internaldate, guid. Expunged or not is the
 * caller's affair. */
uint32_t sync_crc_record(const struct index_record *rec, const strarray_t *flagnames);
/* One stored annotation of a message; userid "" for a shared value, the owner's real id for his
 * own. */
uint32_t sync_crc_annotation(uint32_t uid, const char *entry, const char *userid, const char *value,
                             size_t len);
/* The record fields that count as annotations in an index of that minor version (thrid, savedate,
 * createdmodseq). */
uint32_t sync_crc_record_annots(const struct index_record *rec, uint32_t minor);
/* True for the entries that sync_crc_record_annots stands for: a stored annotation of that name
 * does not count. */
bool sync_crc_annotation_isvirtual(const char *entry, uint32_t minor);
/* 0 on either side means "not known" and equals everything. */
static inline bool sync_crc_equal(uint32_t a, uint32_t b)
{
    return a == b || !a || !b;
}

#endif
