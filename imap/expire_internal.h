/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_EXPIRE_INTERNAL_H
#define INCLUDED_EXPIRE_INTERNAL_H
/*
 * expire_internal -- the jobs of expire.c that are rooms of their own
 */
#include <stdbool.h>
#include <time.h>

#include "expire.h"
#include "strarray.h"
#include "util.h"

struct mailbox;

struct expire_archive_args {
    time_t before;                /* arrived then or earlier; 0: age does not count */
    struct expire_counts *counts; /* expired: messages moved; failed: those that could not be */
};

/* Moves what belongs into the archive, a batch of it; *more: call again in another transaction. */
int expire_archive_mailbox(struct mailbox *mailbox, const struct expire_archive_args *args,
                           bool *more);

/* ---- expire_replicas.c ---- */
struct expire_replicas {
    int wait;            /* seconds; 0: for nothing */
    strarray_t channels; /* none: nothing is waited for */
    char *userid;        /* of whom is known: */
    bool known;
    modseq_t acked;      /* all replicas have it */
    const char *last;    /* the channel that is furthest behind */
    size_t kept, late;   /* what waits; what has waited for too long, and goes */
};
void expire_replicas_init(struct expire_replicas *er);
void expire_replicas_fini(struct expire_replicas *er);
/*
 * A change of that mailbox at `when`, which may be forgotten since that is before `before`: must it stay, as a replica has not acknowledged it?
 * It is counted as kept, or, when it has waited for as long as is allowed, as late.
 */
bool expire_must_wait(struct expire_replicas *er, const char *mboxname, modseq_t modseq, time_t when, time_t before);
/* Those that were late are said, with the mailbox, and what they were. */
void expire_replicas_say(struct expire_replicas *er, const char *mboxname, const char *what);

#endif
