/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_APPEND_INTERNAL_H
#define INCLUDED_APPEND_INTERNAL_H
/*
 * append_internal -- what append.c and append_copy.c share
 */
#include <stdbool.h>

#include "append.h"

/* IMAP_QUOTA_EXCEEDED when the mailbox has as many messages as mailbox_maxmessages_* allows. */
int append_check_limit(const struct mailbox *mailbox);

/* A txn_done_fn that frees bytes which a transaction has borrowed. */
void append_free_bytes(uint64_t lsn, void *rock);

#endif
