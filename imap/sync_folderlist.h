/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_FOLDERLIST_H
#define INCLUDED_SYNC_FOLDERLIST_H
/*
 * sync_folderlist -- one digest over the names of a user's folders: X-FOLDERS (doc/sync-extensions.md)
 */
#include <stdbool.h>

#define SYNC_FOLDERLIST_HEX 33 /* with the NUL */

/*
 * The first 16 bytes of the SHA-256 of "UNIQUEID NUL name LF" of each mailbox that is replicated, in the order of mailboxes.db; no partition is
 * looked at. sieve: scripts that are a mailbox are among them. Returns 0 or an imap_err code.
 */
int sync_folderlist_digest(const char *userid, bool sieve, char hex[SYNC_FOLDERLIST_HEX]);

#endif
