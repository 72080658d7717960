/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_EXPIRE_INTERNAL_H
#define INCLUDED_EXPIRE_INTERNAL_H
/*
 * expire_internal -- the jobs of expire.c that are rooms of their own
 */
#include <stdbool.h>
#include <time.h>

#include "expire.h"

struct mailbox;

struct expire_archive_args {
    time_t before;                /* arrived then or earlier; 0: age does not count */
    struct expire_counts *counts; /* expired: messages moved; failed: those that could not be */
};

/* Moves what belongs into the archive, a batch of it; *more: call again in another transaction. */
int expire_archive_mailbox(struct mailbox *mailbox, const struct expire_archive_args *args,
                           bool *more);

#endif
