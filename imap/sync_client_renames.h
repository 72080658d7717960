/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_RENAMES_H
#define INCLUDED_SYNC_CLIENT_RENAMES_H
/*
 * sync_client_renames -- names on the replica change hands
 *
 * What belongs together is one batch: a replica that can do several in one transaction (X-RENAMES) gets them all at the end; another one,
 * each as it comes. The state follows. All functions return 0 or an imap_err code; IMAP_MAILBOX_MOVED: an INBOX is in the way.
 */
#include "sync_client.h"

struct sync_batch {
    struct sync_client *sc;
    struct sync_state *state;
    struct dlist *list; /* NULL: each by itself */
};

void sync_batch_begin(struct sync_batch *batch, struct sync_client *sc, struct sync_state *state);
/* r: of what was put into it; with an error nothing is sent. */
int sync_batch_end(struct sync_batch *batch, int r);
/* Names are internal ones; a mailbox may keep its name and change its partition. */
int sync_batch_rename(struct sync_batch *batch, const char *oldname, const char *newname, const char *partition,
                      uint32_t uidvalidity);
/* Another name, beside the one that it has, for a mailbox that has the name of somebody else. */
int sync_batch_make_room(struct sync_batch *batch, struct sync_remote *occupant);
/* A name beside that one, which nobody has, here or there. */
char *sync_spare_name(const struct sync_state *state, const char *name, const char *uniqueid);

/* Renames in any order; names may go in chains and rings. */
struct sync_renames {
    ptrarray_t list;
    hash_table byold; /* what is to be done, by the name on the replica */
};
#define SYNC_RENAMES_INITIALIZER { PTRARRAY_INITIALIZER, HASH_TABLE_INITIALIZER }
void sync_renames_fini(struct sync_renames *renames);
/* mbentry: ours, which remote is to be like. */
void sync_renames_add(struct sync_renames *renames, const struct sync_folder *remote, const mbentry_t *mbentry,
                      const char *partition);
/* Another name, whatever ours is like. */
void sync_renames_add_name(struct sync_renames *renames, const struct sync_folder *remote, const char *newname, const char *partition,
                           uint32_t uidvalidity);
/* All of them, as one batch. */
int sync_renames_do(struct sync_client *sc, struct sync_state *state, struct sync_renames *renames);

#endif
