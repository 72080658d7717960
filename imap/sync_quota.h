/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_QUOTA_H
#define INCLUDED_SYNC_QUOTA_H
/*
 * sync_quota -- limits of a quota root on the wire (handbook 03 §4.2)
 */
#include <stdbool.h>

#include "quota_codec.h"

struct dlist;

/* A kvlist called name: ROOT, LIMIT, the limited resources, MODSEQ. A root, the caller's. */
struct dlist *sync_quota_print(const struct quota *q, const char *name);
/* Root, limits and modseq (0: not told) of a kvlist; end with quota_free.
 * IMAP_PROTOCOL_BAD_PARAMETERS without ROOT or LIMIT. */
int sync_quota_parse(const struct dlist *kl, struct quota *q);
bool sync_quota_same_limits(const struct quota *a, const struct quota *b);

#endif
