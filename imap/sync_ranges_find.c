/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_ranges_find -- descend to the ranges in which two lists differ
 *
 * Level by level: the ranges that differ are divided, the other end is asked for the digests of the parts, and so on.
 * A part is final when it holds few messages on one end: then it costs about as much to list it as to go on, as
 * nearly all of the other end's differ anyway. With SYNC_RANGES_MANY of them all is one range.
 *
 * The levels end: a part has at most half of the messages that its range had, or an end has changed meanwhile; after LEVELS
 * of them every part is final.
 */
#include <config.h>

#include "sync_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "xmalloc.h"

#define LEVELS 32 /* of halves: as many as a number of messages has bits */

static int ask_all(const struct sync_ranges_ends *ends, struct sync_range *v, size_t n)
{
    int r = 0;

    for (size_t from = 0; from < n && !r; from += SYNC_RANGES_ASK) {
        size_t some = n - from < SYNC_RANGES_ASK ? n - from : SYNC_RANGES_ASK;
        r = ends->ask(ends->rock, v + from, some);
    }
    return r;
}

static bool is_final(const struct sync_range *ours, const struct sync_range *theirs)
{
    return ours->n <= SYNC_RANGES_LEAF || theirs->n <= SYNC_RANGES_LEAF;
}

/* Divide the open ranges; those of the parts that differ are open or differing afterwards. */
static int one_level(const struct sync_ranges_ends *ends, struct sync_ranges *open, bool last,
                     struct sync_ranges *differing)
{
    struct sync_ranges ours = { NULL, 0, 0 };
    int r = ends->split(ends->rock, open, &ours);

    open->n = 0;
    struct sync_range *theirs = ours.n ? xmemdup(ours.v, ours.n * sizeof(*ours.v)) : NULL;
    if (!r) r = ask_all(ends, theirs, ours.n);
    for (size_t i = 0; i < ours.n && !r; i++) {
        const struct sync_range *part = &ours.v[i];
        if (sync_range_equal(part, &theirs[i])) continue;
        bool final = last || is_final(part, &theirs[i]);
        sync_ranges_add(final ? differing : open, part->first, part->last)->n = part->n;
    }
    free(theirs);
    sync_ranges_fini(&ours);
    return r;
}

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const struct sync_range *)a)->first, y = ((const struct sync_range *)b)->first;

    return (x > y) - (x < y);
}

/* Each level has added its own in order. */
static void merge(struct sync_ranges *ranges)
{
    size_t n = 0;

    if (ranges->n) qsort(ranges->v, ranges->n, sizeof(*ranges->v), by_first);
    for (size_t i = 0; i < ranges->n; i++) {
        if (n && ranges->v[n - 1].last + 1 == ranges->v[i].first)
            ranges->v[n - 1].last = ranges->v[i].last;
        else
            ranges->v[n++] = ranges->v[i];
    }
    ranges->n = n;
}

int sync_ranges_find(const struct sync_ranges_ends *ends, const struct sync_range *root,
                     struct sync_ranges *differing)
{
    struct sync_ranges open = { NULL, 0, 0 };
    int r = 0;

    differing->n = 0;
    sync_ranges_add(&open, root->first, root->last)->n = root->n;
    for (int level = 1; open.n && !r; level++) {
        r = one_level(ends, &open, level == LEVELS, differing);
        if (open.n + differing->n <= SYNC_RANGES_MANY) continue;
        open.n = differing->n = 0;
        sync_ranges_add(differing, root->first, root->last);
    }
    sync_ranges_fini(&open);
    merge(differing);
    return r;
}
