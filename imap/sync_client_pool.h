/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SYNC_CLIENT_POOL_H
#define INCLUDED_SYNC_CLIENT_POOL_H
/*
 * sync_client_pool -- worker processes of sync_client -j, each with a connection of its own that it keeps
 *
 * A job goes to a worker that has nothing to do, and comes back as done, as not begun because the replica can't be
 * reached, or as not known about because the worker's process ended. What a worker says on stdout and stderr comes out
 * as a whole when its job is over. Jobs and answers are lists of words, none with a NUL. What was counted (struct sync_client)
 * is added to the counts of the sync_client that the pool was made with.
 *
 * A worker is forked when it is needed first, so the parent must hold no lock of the store while it runs jobs, and have no
 * connection. It ends with its parent, at the latest after the job in hand.
 */
#include <stdbool.h>

#include "strarray.h"
#include "sync_client.h"

enum sync_pool_outcome {
    SYNC_POOL_DONE,
    SYNC_POOL_UNCONNECTED, /* r says why; what was done before stands in the answer */
    SYNC_POOL_DIED,        /* text says how; there is no answer */
};

struct sync_pool_end {
    enum sync_pool_outcome outcome;
    int r;
    const char *text;
    const strarray_t *answer;
};

struct sync_pool_ops {
    /* ---- in the worker ---- */
    /* Does the job over sc, which it connects when that is needed. 0, or the imap_err code of a connection that could not be made. */
    int (*work)(struct sync_client *sc, const strarray_t *job, strarray_t *answer, void *rock);
    /* Every second without a job; may be NULL. */
    void (*idle)(struct sync_client *sc, void *rock);

    /* ---- in the parent ---- */
    /* The next job and its words; NULL: none now. busy: jobs that workers have in hand. */
    void *(*next)(strarray_t *words, int busy, void *rock);
    /* What became of it. */
    void (*ended)(void *job, const struct sync_pool_end *end, void *rock);
    /* No more jobs; asked at least every 200 ms. */
    bool (*must_end)(void *rock);
};

struct sync_pool;
/* size: workers, at least 1. What is passed is borrowed. */
struct sync_pool *sync_pool_new(struct sync_client *sc, int size, const struct sync_pool_ops *ops, void *rock);
/* Until there is no job and none in hand, or must_end says so and those in hand are over. */
void sync_pool_run(struct sync_pool *pool);
/* No job is given for so many seconds. */
void sync_pool_pause(struct sync_pool *pool, int seconds);
/* Ends the workers, and waits for them. */
void sync_pool_free(struct sync_pool **poolp);

#endif
