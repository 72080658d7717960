/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_BLOCK_H
#define INCLUDED_MESSAGE_BLOCK_H
/*
 * message_block -- a message as unexpunge -l and ipurge -n print it (handbook 05 §3.15)
 */
#include <stdbool.h>

struct index_record;
struct mailbox;

/* On stdout: UID, size, dates in local time, addresses and subject from the cache; an empty line. expunged: also when
 * it was expunged. An imap_err code when there is neither cache nor message file; the dates are printed. */
int message_block_print(struct mailbox *mailbox, const struct index_record *rec, bool expunged);

#endif
