/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_METADATA_VALUES_H
#define INCLUDED_METADATA_VALUES_H
/*
 * metadata_values -- values of annotations that are not kept in the database (for metadata_entries.c)
 */
#include "metadata.h"

/* Append the value; false: NIL. */
typedef bool metadata_get_fn(struct metadata_source *src, struct buf *out);
metadata_get_fn metadata_get_motd, metadata_get_shutdown, metadata_get_freespace,
    metadata_get_freespace_total, metadata_get_freespace_most, metadata_get_usermodseq,
    metadata_get_usercounters;
metadata_get_fn metadata_get_annotsize, metadata_get_duplicatedeliver, metadata_get_foldermodseq,
    metadata_get_hasalarms, metadata_get_lastpop, metadata_get_lastupdate, metadata_get_partition,
    metadata_get_pop3newuidl, metadata_get_pop3showafter, metadata_get_sharedseen,
    metadata_get_size, metadata_get_synccrcs, metadata_get_uniqueid, metadata_get_userrawquota;
/* Take the value (NULL: remove), or check it and bring it into the form that is stored. */
typedef int metadata_set_fn(const struct metadata_who *who, struct txn *txn,
                            const mbentry_t *mbentry, struct buf *value);
metadata_set_fn metadata_set_motd, metadata_set_shutdown, metadata_set_specialuse,
    metadata_set_duplicatedeliver, metadata_set_pop3newuidl, metadata_set_pop3showafter,
    metadata_set_durability, metadata_set_searchfuzzy, metadata_set_sharedseen;

#endif
