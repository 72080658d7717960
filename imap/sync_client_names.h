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

#endif
