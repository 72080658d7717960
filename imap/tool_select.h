/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_TOOL_SELECT_H
#define INCLUDED_TOOL_SELECT_H
/*
 * tool_select -- the mailboxes that an argument of a tool means (handbook 05 §3.0)
 *
 * Arguments are names as an administrator writes them, and may hold * and %. The list is a copy, so
 * mailboxes may come and go while a tool works through it.
 */
#include "mboxname.h"
#include "ptrarray.h"

#define TOOL_SELECT_PLAIN 1   /* a name, no pattern */
#define TOOL_SELECT_DELETED 2 /* also what is in the DELETED tree */
#define TOOL_SELECT_TREE 4    /* also all that lies below */

/*
 * Appends copies of mbentry_t, in database order: local live mailboxes whose name matches (pattern NULL: all). None
 * is no error. An imap_err code when mailboxes.db can't be read.
 */
int tool_select(const struct namespace *ns, const char *pattern, unsigned flags,
                ptrarray_t *entries);
/* All mailboxes of a user; flags: TOOL_SELECT_DELETED. */
int tool_select_user(const char *userid, unsigned flags, ptrarray_t *entries);
void tool_select_free(ptrarray_t *entries);

#endif
