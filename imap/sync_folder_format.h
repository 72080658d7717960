/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_FOLDER_FORMAT_H
#define INCLUDED_SYNC_FOLDER_FORMAT_H
/*
 * sync_folder_format -- the text of a folder with its records
 *
 * Records are formatted one at a time, so a large mailbox needs the room of its
 * text and not that of a tree; in a spill the text itself needs little memory.
 */
#include <stdbool.h>

#include "buf.h"
#include "spill.h"
#include "sync_folder.h"

struct dlist;
struct sync_ranges;

struct sync_format {
    const char *name;        /* "MAILBOX", "LOCAL_MAILBOX" */
    struct mailbox *mailbox; /* whose records; NULL: no RECORD */
    modseq_t since;          /* records with a higher modseq, and those above since_uid; 0: all */
    uint32_t since_uid;
    const struct sync_ranges *ranges; /* records in these; NULL: all */
    bool isclient;           /* literals with "+" */
};
/* Appends `NAME %(...)` to out. An error of the mailbox, out is as it came then. */
int sync_folder_format(const struct sync_folder *folder, const struct sync_format *format,
                       struct buf *out);
/* The same to a spill in temp_path. After an error the spill is of no more use. IMAP_NOSPACE. */
int sync_folder_spill(const struct sync_folder *folder, const struct sync_format *format,
                      struct spill *out);
/* The same with any kvlist and its name in the place of the folder. */
int sync_kvlist_spill(const struct dlist *kl, const struct sync_format *format, struct spill *out);

#endif
