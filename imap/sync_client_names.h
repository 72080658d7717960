/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_NAMES_H
#define INCLUDED_SYNC_CLIENT_NAMES_H
/*
 * sync_client_names -- which of two names of one mailbox is the later one (handbook 07 W043, doc/sync-extensions.md)
 */
#include "sync_client.h"

struct sync_names {
    char *userid;      /* of whom it was asked last */
    hash_table theirs; /* strarray_t of former names, by UNIQUEID */
};
#define SYNC_NAMES_INITIALIZER { NULL, HASH_TABLE_INITIALIZER }
void sync_names_fini(struct sync_names *names);
/*
 * The replica has another name for this mailbox. *renamed: that was the later change, and the mailbox has it here, too, from now on; else the replica is to be told
 * ours. Returns an error of the connection only.
 */
int sync_names_settle(struct sync_client *sc, struct sync_names *names, const mbentry_t *mbentry, const struct sync_folder *theirs,
                      bool *renamed);

/* Does the replica tell former names, and may names of this end change? */
bool sync_names_can_settle(const struct sync_client *sc);
/*
 * All folders of a user: whatever name each has, both ends give it the later one. Of two that have one name then the older one (CREATEDMODSEQ, then
 * UNIQUEID) keeps it, and the other one gets a name beside it; but two, one of which each end has never heard of, become one. Names here
 * are changed, in one transaction; those of the replica are added to renames. *changed: that is to be done at once, and all is to be compared anew.
 */
struct sync_renames;
int sync_names_settle_user(struct sync_client *sc, const ptrarray_t *mbentries, struct sync_state *state, struct sync_renames *renames,
                           bool *changed);

#endif
