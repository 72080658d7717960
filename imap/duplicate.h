/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DUPLICATE_H
#define INCLUDED_DUPLICATE_H
/*
 * duplicate -- deliver.db: which message ids were delivered where (handbook 01 §7.7)
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "txn.h"

struct duplicate_key { const char *id, *to, *date; }; /* Message-ID, uniqueid of the mailbox, Date header */
/* Time of the mark, or 0 if the key is not known. */
time_t duplicate_check(const struct duplicate_key *);
/* Staged: written with the delivery's transaction. uid of the message delivered. */
int duplicate_mark(struct txn *, const struct duplicate_key *, time_t mark, uint64_t uid);
/* A record of the file, the key as views into base; false: it is none. */
bool duplicate_decode(const char *base, size_t len, const char *val, size_t vallen, struct duplicate_key *key,
                      time_t *mark, uint64_t *uid);
/* Remove marks older than `before`; *countp gets how many. */
int duplicate_prune(time_t before, size_t *countp);
int duplicate_foreach(int (*cb)(const struct duplicate_key *, time_t mark, uint64_t uid, void *rock), void *rock);

#endif
