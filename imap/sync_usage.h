/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_USAGE_H
#define INCLUDED_SYNC_USAGE_H
/*
 * sync_usage -- what a user uses, as each end has counted it: X-USAGE (doc/sync-extensions.md)
 *
 * One line for each quota root at or below his INBOX, with the raw sums, and one for his conversations, where each message counts once.
 */
#include "ptrarray.h"

/* Appends struct dlist: USAGE %(ROOT ... STORAGE ...), USAGE %(USERID ... STORAGE ...). */
int sync_usage_read(const char *userid, ptrarray_t *lines);
void sync_usage_fini(ptrarray_t *lines);
/*
 * Tells fn each number that differs, as text; "" where that end has none. A line of conversations that only one end has is no difference: the
 * other does not keep them.
 */
typedef void sync_usage_differ(const char *what, const char *resource, const char *ours, const char *theirs, void *rock);
void sync_usage_compare(const ptrarray_t *ours, const ptrarray_t *theirs, sync_usage_differ *fn, void *rock);

#endif
