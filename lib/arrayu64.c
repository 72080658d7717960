/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arrayu64 -- a growing array of 64-bit numbers
 *
 * Growth doubles. An index outside the array reads as 0 and is ignored by changes,
 * but for arrayu64_set, which grows. Nothing fails; no memory is fatal().
 */
#include <config.h>

#include "arrayu64.h"

#include <stdlib.h>
#include <string.h>

#include "xmalloc.h"

arrayu64_t *arrayu64_new(void)
{
    return xzmalloc(sizeof(arrayu64_t));
}

void arrayu64_init(arrayu64_t *au)
{
    *au = (arrayu64_t)ARRAYU64_INITIALIZER;
}

void arrayu64_fini(arrayu64_t *au)
{
    if (!au) return;
    free(au->data);
    arrayu64_init(au);
}

void arrayu64_free(arrayu64_t *au)
{
    arrayu64_fini(au);
    free(au);
}

static void ensure(arrayu64_t *au, size_t n)
{
    if (n <= au->alloc) return;
    au->alloc = grow_alloc(au->alloc, n);
    au->data = xreallocarray(au->data, au->alloc, sizeof(uint64_t));
}

arrayu64_t *arrayu64_dup(const arrayu64_t *au)
{
    arrayu64_t *copy = arrayu64_new();

    if (au->count) {
        ensure(copy, au->count);
        memcpy(copy->data, au->data, au->count * sizeof(uint64_t));
        copy->count = au->count;
    }
    return copy;
}

/* The index from the start, or -1 when it lies before it. */
static ssize_t from_start(const arrayu64_t *au, ssize_t idx)
{
    if (idx >= 0) return idx;
    return idx + (ssize_t)au->count < 0 ? -1 : idx + (ssize_t)au->count;
}

/* Index of the first number of a rising array that is not below v. */
static size_t lower_bound(const arrayu64_t *au, uint64_t v)
{
    size_t low = 0, high = au->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (au->data[mid] < v)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t arrayu64_append(arrayu64_t *au, uint64_t v)
{
    ensure(au, au->count + 1);
    au->data[au->count] = v;
    return au->count++;
}

size_t arrayu64_add(arrayu64_t *au, uint64_t v)
{
    size_t at = lower_bound(au, v);

    if (at == au->count || au->data[at] != v) arrayu64_insert(au, (ssize_t)at, v);
    return at;
}

void arrayu64_set(arrayu64_t *au, ssize_t idx, uint64_t v)
{
    idx = from_start(au, idx);
    if (idx < 0) return;
    if ((size_t)idx >= au->count) arrayu64_truncate(au, (size_t)idx + 1);
    au->data[idx] = v;
}

void arrayu64_insert(arrayu64_t *au, ssize_t idx, uint64_t v)
{
    idx = from_start(au, idx);
    if (idx < 0) idx = 0;

    size_t at = (size_t)idx < au->count ? (size_t)idx : au->count;
    ensure(au, au->count + 1);
    memmove(au->data + at + 1, au->data + at, (au->count - at) * sizeof(uint64_t));
    au->data[at] = v;
    au->count++;
}

uint64_t arrayu64_remove(arrayu64_t *au, ssize_t idx)
{
    idx = from_start(au, idx);
    if (idx < 0 || (size_t)idx >= au->count) return 0;

    size_t at = (size_t)idx;
    uint64_t v = au->data[at];
    au->count--;
    memmove(au->data + at, au->data + at + 1, (au->count - at) * sizeof(uint64_t));
    return v;
}

int arrayu64_remove_value(arrayu64_t *au, uint64_t v)
{
    ssize_t at = arrayu64_bsearch(au, v);

    if (at < 0) return 0;
    arrayu64_remove(au, at);
    return 1;
}

void arrayu64_truncate(arrayu64_t *au, size_t newlen)
{
    if (newlen > au->count) {
        ensure(au, newlen);
        memset(au->data + au->count, 0, (newlen - au->count) * sizeof(uint64_t));
    }
    au->count = newlen;
}

uint64_t arrayu64_nth(const arrayu64_t *au, ssize_t idx)
{
    idx = from_start(au, idx);
    return idx < 0 || (size_t)idx >= au->count ? 0 : au->data[idx];
}

uint64_t arrayu64_max(const arrayu64_t *au)
{
    uint64_t max = 0;

    for (size_t i = 0; i < au->count; i++) {
        if (au->data[i] > max) max = au->data[i];
    }
    return max;
}

ssize_t arrayu64_find(const arrayu64_t *au, uint64_t v, size_t start)
{
    for (size_t i = start; i < au->count; i++) {
        if (au->data[i] == v) return (ssize_t)i;
    }
    return -1;
}

ssize_t arrayu64_bsearch(const arrayu64_t *au, uint64_t v)
{
    size_t at = lower_bound(au, v);
    return at < au->count && au->data[at] == v ? (ssize_t)at : -1;
}

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void arrayu64_sort(arrayu64_t *au)
{
    if (au->count > 1) qsort(au->data, au->count, sizeof(uint64_t), cmp_u64);
}

void arrayu64_uniq(arrayu64_t *au)
{
    size_t kept = 0;

    for (size_t i = 0; i < au->count; i++) {
        if (!kept || au->data[kept - 1] != au->data[i]) au->data[kept++] = au->data[i];
    }
    au->count = kept;
}
