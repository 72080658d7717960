/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_VERIFIED_H
#define INCLUDED_VERIFIED_H
/*
 * verified -- which message files were found whole, and when
 *
 * All processes share the table <configdirectory>/verified: who has hashed a file saves the next one the work. A file
 * is known by device, inode, size, mtime and ctime, and by the GUID it was found to have, so whatever
 * changes it through the file system makes it unknown. Nothing depends on the table: it may be lost, damaged, or not writable.
 */
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "message_guid.h"

/* When this very file was last found to have this GUID (UTC seconds); 0: not known. */
time_t verified_when(const struct stat *st, const struct message_guid *guid);
/*
 * It has been found so: st is from before its bytes were read. A file that has changed a moment ago is not remembered,
 * since the next change might leave the same times.
 */
void verified_note(const struct stat *st, const struct message_guid *guid);
/* Lets go of the table, for a process that waits: the next use opens it again. */
void verified_rest(void);

#endif
