/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_QUOTA_USAGE_H
#define INCLUDED_QUOTA_USAGE_H
/*
 * quota_usage -- both kinds of usage of a quota root at one moment (handbook 04 §4.5)
 */
#include "quota.h"

/*
 * shown: as clients are told; raw (may be NULL): the sums of the quota database. Read under the lock of the
 * root's owner, so both belong to the same state, and durable. End both with quota_free().
 * IMAP_QUOTAROOT_NONEXISTENT.
 */
int quota_read_usage(const char *root, struct quota *shown, struct quota *raw);

#endif
