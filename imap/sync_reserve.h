/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_RESERVE_H
#define INCLUDED_SYNC_RESERVE_H
/*
 * sync_reserve -- message files that came ahead of their records (handbook 03 §1.7)
 *
 * A connection keeps files by partition and GUID in <partition>/sync./<pid>/<guid>
 * until a mailbox takes them. What is kept has the SHA-1 of its name: bytes are
 * hashed while they arrive. The files are scratch: never synced, gone with the
 * connection, and those of dead processes are swept at start.
 */
#include <stdbool.h>

#include "dlist.h"
#include "hash.h"
#include "message_guid.h"
#include "ptrarray.h"

struct sync_reserve;

struct sync_reserve *sync_reserve_new(void);
/* Removes the files and the directories of this process. */
void sync_reserve_free(struct sync_reserve **reservep);
/* The same, and it is empty and usable again (RESTART). */
void sync_reserve_clear(struct sync_reserve *reserve);

/*
 * Takes the file literals of dlist_parse: an unknown partition and a full disk fail the parse. Bytes
 * that are not the GUID they are called are dropped and logged: the file item has no path then.
 */
struct dlist_filesink sync_reserve_sink(struct sync_reserve *reserve);

/* Why the last file could not be stored: an errno, or 0. It is forgotten with this call. */
int sync_reserve_take_error(struct sync_reserve *reserve);

/* Path of the bytes, or NULL. Valid until clear. */
const char *sync_reserve_find(const struct sync_reserve *reserve, const char *partition,
                              const struct message_guid *guid);
/* Keep a copy (a link where possible) of the file at `from`, which has that GUID. IMAP_IOERROR. */
int sync_reserve_link(struct sync_reserve *reserve, const char *partition,
                      const struct message_guid *guid, const char *from);

/*
 * Looks for messages in these mailboxes (mbentry_t), those on the partition first, and keeps what has the right bytes. wanted: GUIDs in
 * hex; what is found is taken out.
 */
void sync_reserve_look(struct sync_reserve *reserve, const char *partition, const ptrarray_t *mbentries, hash_table *wanted);

/* Any process of this server keeps a file of that GUID, on any partition. */
bool sync_reserve_is_anywhere(const struct message_guid *guid);

/* Removes what processes that are gone have left, on all partitions. Logs what it removes. */
void sync_reserve_sweep(void);

#endif
