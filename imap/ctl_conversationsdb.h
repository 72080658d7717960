/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_CTL_CONVERSATIONSDB_H
#define INCLUDED_CTL_CONVERSATIONSDB_H
/*
 * ctl_conversationsdb -- records of a conversations database as text
 *
 * A dump has a line for each record: key, TAB, value, LF, all as it is stored; values may hold LF.
 */
#include "conversations.h"

/* Onto stdout. */
int text_dump(struct conversations_state *state);
/*
 * Loads what text_dump printed, from stdin. Bytes that are none of that end it: IMAP_MAILBOX_BADFORMAT, *where is their
 * offset.
 */
int text_undump(struct conversations_state *state, size_t *where);
/* LABEL"bytes", what is not printable as \xHH. */
void text_quoted(const char *label, const struct buf *b);

#endif
