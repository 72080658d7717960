/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * partition_select -- defaultpartition, or a choice by free space
 *
 * partition_select_mode says how: the most free bytes, the most free percent, by chance
 * with equal chances or with chances by free percent. Partitions in partition_select_exclude are
 * never chosen; those fuller than partition_select_soft_usage_limit percent only when all are, and
 * those without any free space only when all are so. A partition whose directory can't be asked has no free space.
 */
#include <config.h>

#include "partition_select.h"

#include <stdlib.h>

#include "diskio.h"
#include "libconfig.h"
#include "makeuuid.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"

struct candidate {
    const char *name;
    uint64_t free;  /* bytes */
    double percent; /* free */
};

struct candidates {
    const strarray_t *exclude;
    strarray_t names; /* of all candidates: what the walk over the options gives is gone behind it */
    struct candidate *list;
    size_t n, alloc;
};

static void add(const char *partition, const char *dir, void *rock)
{
    struct candidates *all = rock;
    struct candidate c = { 0 };
    struct diskio_space fs;

    if (strarray_contains(all->exclude, partition)) return;
    strarray_append(&all->names, partition);
    c.name = strarray_nth(&all->names, strarray_size(&all->names) - 1);
    if (!diskio_space(dir, &fs) && fs.total) {
        c.free = fs.avail;
        c.percent = 100.0 * (double)fs.avail / (double)fs.total;
    }
    if (all->n == all->alloc) {
        all->alloc = grow_alloc(all->alloc, all->n + 1);
        all->list = xreallocarray(all->list, all->alloc, sizeof(*all->list));
    }
    all->list[all->n++] = c;
}

static bool has_room(const struct candidate *c, int limit)
{
    return c->free && (limit <= 0 || 100.0 - c->percent <= limit);
}

/* Drops those without room within the limit (0: any room will do), unless that leaves none. */
static void drop_full(struct candidates *all, int limit)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) n += has_room(&all->list[i], limit);
    if (!n) return;
    n = 0;
    for (size_t i = 0; i < all->n; i++) {
        if (has_room(&all->list[i], limit)) all->list[n++] = all->list[i];
    }
    all->n = n;
}

static double any_chance(void)
{
    uint32_t bits;
    random_bytes(&bits, sizeof(bits));
    return (double)bits / 4294967296.0;
}

static double weight_free(const struct candidates *all, size_t i)
{
    return (double)all->list[i].free;
}

static double weight_percent(const struct candidates *all, size_t i)
{
    return all->list[i].percent;
}

static double weight_equal(const struct candidates *all, size_t i)
{
    return 1.0;
}

/* What a partition has more than the fullest one; a little for all, so that none is never chosen. */
static double weight_delta(const struct candidates *all, size_t i)
{
    double least = all->list[0].percent;

    for (size_t k = 1; k < all->n; k++) least = cyr_min(least, all->list[k].percent);
    return all->list[i].percent - least + 0.5;
}

static const struct {
    const char *name;
    double (*weight)(const struct candidates *, size_t);
    bool random; /* by chance; else the heaviest */
} modes[] = { { "freespace-most", weight_free, false },
              { "freespace-percent-most", weight_percent, false },
              { "random", weight_equal, true },
              { "freespace-percent-weighted", weight_percent, true },
              { "freespace-percent-weighted-delta", weight_delta, true } };

static size_t choose(const struct candidates *all,
                     double (*weight)(const struct candidates *, size_t), const double *chance)
{
    double total = 0, best = -1;
    size_t chosen = 0;

    for (size_t i = 0; i < all->n; i++) {
        double w = weight(all, i);
        total += w;
        if (w > best) {
            best = w;
            chosen = i;
        }
    }
    if (!chance || total <= 0) return chosen;
    double at = *chance * total;
    for (size_t i = 0; i < all->n; i++) {
        at -= weight(all, i);
        if (at < 0) return i;
    }
    return chosen;
}

char *partition_select_local(void)
{
    return partition_select_with(any_chance());
}

char *partition_select_with(double chance)
{
    const char *mode = config_getstring(IMAPOPT_PARTITION_SELECT_MODE);
    struct candidates all = { .names = STRARRAY_INITIALIZER };
    char *name = NULL;
    size_t m = 0;

    if (config_defpartition) return xstrdup(config_defpartition);
    strarray_t *exclude = strarray_split(config_getstring(IMAPOPT_PARTITION_SELECT_EXCLUDE), " \t,",
                                         STRARRAY_TRIM);
    all.exclude = exclude;
    config_foreachpartition(add, &all);
    drop_full(&all, 0);
    drop_full(&all, config_getint(IMAPOPT_PARTITION_SELECT_SOFT_USAGE_LIMIT));
    for (size_t i = 0; i < array_size(modes); i++) {
        if (mode && !strcmp(mode, modes[i].name)) m = i;
    }
    if (all.n) name = xstrdup(all.list[choose(&all, modes[m].weight, modes[m].random ? &chance : NULL)].name);
    strarray_free(exclude);
    strarray_fini(&all.names);
    free(all.list);
    return name;
}
