/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ptrarray -- a growing array of pointers it does not own
 *
 * Growth doubles. An index outside the array reads as NULL and is ignored by
 * changes, but for ptrarray_set, which grows. Nothing fails; no memory is fatal().
 */
#include <config.h>

#include "ptrarray.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "xmalloc.h"

ptrarray_t *ptrarray_new(void)
{
    return xzmalloc(sizeof(ptrarray_t));
}

void ptrarray_init(ptrarray_t *pa)
{
    *pa = (ptrarray_t)PTRARRAY_INITIALIZER;
}

void ptrarray_fini(ptrarray_t *pa)
{
    if (!pa) return;
    free(pa->data);
    ptrarray_init(pa);
}

void ptrarray_free(ptrarray_t *pa)
{
    ptrarray_fini(pa);
    free(pa);
}

void ptrarray_fini_with(ptrarray_t *pa, void (*fn)(void *))
{
    for (int i = 0; i < pa->count; i++) {
        if (pa->data[i]) fn(pa->data[i]);
    }
    ptrarray_fini(pa);
}

static void ensure(ptrarray_t *pa, int n)
{
    if (n >= INT_MAX / 2) fatal("pointer array too large", EX_TEMPFAIL);
    if (n <= pa->alloc) return;

    pa->alloc = (int)grow_alloc((size_t)pa->alloc, (size_t)n);
    pa->data = xreallocarray(pa->data, (size_t)pa->alloc, sizeof(void *));
}

/* The index from the start, or -1 when it lies before it. */
static int from_start(const ptrarray_t *pa, int idx)
{
    if (idx >= 0) return idx;
    return idx + pa->count < 0 ? -1 : idx + pa->count;
}

int ptrarray_append(ptrarray_t *pa, void *p)
{
    ensure(pa, pa->count + 1);
    pa->data[pa->count] = p;
    return pa->count++;
}

int ptrarray_add(ptrarray_t *pa, void *p)
{
    int at = ptrarray_find(pa, p, 0);
    return at >= 0 ? at : ptrarray_append(pa, p);
}

void ptrarray_set(ptrarray_t *pa, int idx, void *p)
{
    idx = from_start(pa, idx);
    if (idx < 0) return;
    if (idx >= pa->count) ptrarray_truncate(pa, idx + 1);
    pa->data[idx] = p;
}

void ptrarray_insert(ptrarray_t *pa, int idx, void *p)
{
    idx = from_start(pa, idx);
    if (idx < 0) idx = 0;
    if (idx > pa->count) idx = pa->count;

    ensure(pa, pa->count + 1);
    memmove(pa->data + idx + 1, pa->data + idx, (size_t)(pa->count - idx) * sizeof(void *));
    pa->data[idx] = p;
    pa->count++;
}

void *ptrarray_remove(ptrarray_t *pa, int idx)
{
    idx = from_start(pa, idx);
    if (idx < 0 || idx >= pa->count) return NULL;

    void *p = pa->data[idx];
    pa->count--;
    memmove(pa->data + idx, pa->data + idx + 1, (size_t)(pa->count - idx) * sizeof(void *));
    return p;
}

void ptrarray_truncate(ptrarray_t *pa, int newlen)
{
    if (newlen < 0) newlen = 0;
    if (newlen > pa->count) {
        ensure(pa, newlen);
        memset(pa->data + pa->count, 0, (size_t)(newlen - pa->count) * sizeof(void *));
    }
    pa->count = newlen;
}

void *ptrarray_nth(const ptrarray_t *pa, int idx)
{
    idx = from_start(pa, idx);
    return idx < 0 || idx >= pa->count ? NULL : pa->data[idx];
}

int ptrarray_find(const ptrarray_t *pa, const void *p, int start)
{
    for (int i = start < 0 ? 0 : start; i < pa->count; i++) {
        if (pa->data[i] == p) return i;
    }
    return -1;
}

static void merge_sort(void **v, void **tmp, size_t n, int (*cmp)(const void *, const void *))
{
    if (n < 2) return;

    size_t mid = n / 2, i = 0, j = mid, k = 0;
    merge_sort(v, tmp, mid, cmp);
    merge_sort(v + mid, tmp, n - mid, cmp);
    while (i < mid && j < n) tmp[k++] = cmp(&v[i], &v[j]) <= 0 ? v[i++] : v[j++];
    while (i < mid) tmp[k++] = v[i++];
    memcpy(v, tmp, k * sizeof(void *));
}

void ptrarray_sort(ptrarray_t *pa, int (*cmp)(const void *a, const void *b))
{
    if (pa->count < 2) return;

    void **tmp = xcalloc((size_t)pa->count, sizeof(void *));
    merge_sort(pa->data, tmp, (size_t)pa->count, cmp);
    free(tmp);
}
