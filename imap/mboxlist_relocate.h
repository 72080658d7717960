/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MBOXLIST_RELOCATE_H
#define INCLUDED_MBOXLIST_RELOCATE_H
/*
 * mboxlist_relocate -- from directories by name to directories by uniqueid (handbook 02 §1.7, 05 §3.21)
 */
#include <stdbool.h>

#include "mbentry.h"

/* Has the mailbox directories by name, which it could have by its uniqueid? */
bool mboxlist_is_legacy(const mbentry_t *entry);

/* A directory or file that gets another place; both are absolute. */
typedef void mboxlist_relocate_cb(const char *from, const char *to, void *rock);
/*
 * The mailbox of that name gets directories by its uniqueid, in a transaction of its own; with an INBOX go
 * the files and Sieve scripts of its user. Clients see no change, and no number moves. dryrun: only tells. 0 also
 * when it has them already. IMAP_MAILBOX_EXISTS (logged): something is there already.
 */
int mboxlist_relocate(const char *name, bool dryrun, mboxlist_relocate_cb *cb, void *rock);

#endif
