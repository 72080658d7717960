/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_USERSTATE_H
#define INCLUDED_SYNC_USERSTATE_H
/*
 * sync_userstate -- the state of a user on the wire: X-USERSTATE (doc/sync-extensions.md)
 */
#include "user_record.h"

struct dlist;

/* USERSTATE %(USERID STATE [REASON] [CREATED] CHANGED); the caller frees. */
struct dlist *sync_userstate_print(const struct user_record *rec);
/* rec has no id. IMAP_PROTOCOL_BAD_PARAMETERS. */
int sync_userstate_parse(const struct dlist *dl, struct user_record **recp);

#endif
