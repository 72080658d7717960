/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_SUBS_H
#define INCLUDED_SYNC_SUBS_H
/*
 * sync_subs -- histories of subscriptions on the wire: X-SUBHISTORY (doc/sync-extensions.md)
 */
#include <stddef.h>

#include "sub_entry.h"

struct dlist;

#define SYNC_SUBS_LINE 100      /* entries we put into one line */
#define SYNC_SUBS_MAX 65536     /* entries of a user that we take from a peer */

/* SUBHISTORY %(USERID DIGEST): the question, and the first line of the answer. */
struct dlist *sync_subs_digest(const char *userid, const struct sub_list *list);
/* SUBHISTORY %(USERID ENTRIES (%(MBOXNAME ON STAMP [UNIQUEID]) ...)) from *next on, at most a line of them; moves *next. */
struct dlist *sync_subs_print(const char *userid, const struct sub_list *list, size_t *next);
/*
 * Entries are added to *list; a line without ENTRIES has none. IMAP_PROTOCOL_BAD_PARAMETERS: one can't be, or they are too
 * many.
 */
int sync_subs_parse(const struct dlist *kl, struct sub_list *list);

#endif
