/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strarray -- a growing array of strings it owns
 *
 * Invariants: strings are malloc'ed, or NULL; once anything was stored,
 * data[count] is NULL. Growth doubles. An index outside the array reads as NULL
 * and is ignored by changes, but for strarray_set, which grows. Nothing fails; no
 * memory is fatal().
 */
#include <config.h>

#include "strarray.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "buf.h"
#include "util.h"
#include "xmalloc.h"

/* -- comparing -- */

int cmpstringp_raw(const void *a, const void *b)
{
    return strcmpnull(*(char *const *)a, *(char *const *)b);
}

int cmpstringp_case(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;

    if (!x || !y) return strcmpnull(x, y);
    int r = cyr_strcasecmp(x, y);
    return r ? r : strcmp(x, y);
}

/* -- life -- */

strarray_t *strarray_new(void)
{
    return xzmalloc(sizeof(strarray_t));
}

void strarray_init(strarray_t *sa)
{
    *sa = (strarray_t)STRARRAY_INITIALIZER;
}

void strarray_fini(strarray_t *sa)
{
    if (!sa) return;
    for (int i = 0; i < sa->count; i++) free(sa->data[i]);
    free(sa->data);
    strarray_init(sa);
}

void strarray_free(strarray_t *sa)
{
    strarray_fini(sa);
    free(sa);
}

strarray_t *strarray_dup(const strarray_t *sa)
{
    strarray_t *copy = strarray_new();

    if (sa) strarray_cat(copy, sa);
    return copy;
}

/* -- places -- */

/* Room for n strings and the NULL behind them. */
static void ensure(strarray_t *sa, int n)
{
    if (n >= INT_MAX / 2) fatal("string array too large", EX_TEMPFAIL);
    if (n < sa->alloc) return;

    sa->alloc = (int)grow_alloc((size_t)sa->alloc, (size_t)n + 1);
    sa->data = xreallocarray(sa->data, (size_t)sa->alloc, sizeof(char *));
    sa->data[sa->count] = NULL;
}

/* The index from the start, or -1 when it lies before it. */
static int from_start(const strarray_t *sa, int idx)
{
    if (idx >= 0) return idx;
    return idx + sa->count < 0 ? -1 : idx + sa->count;
}

/* -- changing -- */

int strarray_appendm(strarray_t *sa, char *s)
{
    ensure(sa, sa->count + 1);
    sa->data[sa->count++] = s;
    sa->data[sa->count] = NULL;
    return sa->count - 1;
}

int strarray_append(strarray_t *sa, const char *s)
{
    return strarray_appendm(sa, xstrdupnull(s));
}

int strarray_add(strarray_t *sa, const char *s)
{
    int at = strarray_find(sa, s, 0);
    return at >= 0 ? at : strarray_append(sa, s);
}

int strarray_add_case(strarray_t *sa, const char *s)
{
    int at = strarray_find_case(sa, s, 0);
    return at >= 0 ? at : strarray_append(sa, s);
}

void strarray_setm(strarray_t *sa, int idx, char *s)
{
    idx = from_start(sa, idx);
    if (idx < 0) {
        free(s);
        return;
    }
    if (idx >= sa->count) strarray_truncate(sa, idx + 1);
    free(sa->data[idx]);
    sa->data[idx] = s;
}

void strarray_set(strarray_t *sa, int idx, const char *s)
{
    strarray_setm(sa, idx, xstrdupnull(s));
}

void strarray_insertm(strarray_t *sa, int idx, char *s)
{
    idx = from_start(sa, idx);
    if (idx < 0) idx = 0;
    if (idx > sa->count) idx = sa->count;

    ensure(sa, sa->count + 1);
    memmove(sa->data + idx + 1, sa->data + idx, (size_t)(sa->count - idx + 1) * sizeof(char *));
    sa->data[idx] = s;
    sa->count++;
}

void strarray_insert(strarray_t *sa, int idx, const char *s)
{
    strarray_insertm(sa, idx, xstrdupnull(s));
}

char *strarray_remove(strarray_t *sa, int idx)
{
    idx = from_start(sa, idx);
    if (idx < 0 || idx >= sa->count) return NULL;

    char *s = sa->data[idx];
    memmove(sa->data + idx, sa->data + idx + 1, (size_t)(sa->count - idx) * sizeof(char *));
    sa->count--;
    return s;
}

/* Frees the strings that match, keeps the order of the others. */
static int remove_matching(strarray_t *sa, const char *s,
                           int (*find)(const strarray_t *, const char *, int))
{
    int removed = 0;

    for (int at = find(sa, s, 0); at >= 0; at = find(sa, s, at)) {
        free(strarray_remove(sa, at));
        removed++;
    }
    return removed;
}

int strarray_remove_all(strarray_t *sa, const char *s)
{
    return remove_matching(sa, s, strarray_find);
}

int strarray_remove_all_case(strarray_t *sa, const char *s)
{
    return remove_matching(sa, s, strarray_find_case);
}

void strarray_truncate(strarray_t *sa, int newlen)
{
    if (newlen < 0) newlen = 0;
    while (sa->count > newlen) xzfree(sa->data[--sa->count]);
    if (sa->count < newlen) {
        ensure(sa, newlen);
        memset(sa->data + sa->count, 0, (size_t)(newlen - sa->count + 1) * sizeof(char *));
        sa->count = newlen;
    }
}

void strarray_cat(strarray_t *dest, const strarray_t *src)
{
    int n = src->count; /* src may be dest */

    ensure(dest, dest->count + n);
    for (int i = 0; i < n; i++) strarray_append(dest, src->data[i]);
}

void strarray_swap(strarray_t *sa, int i, int j)
{
    i = from_start(sa, i);
    j = from_start(sa, j);
    if (i < 0 || j < 0 || i >= sa->count || j >= sa->count) return;

    char *s = sa->data[i];
    sa->data[i] = sa->data[j];
    sa->data[j] = s;
}

/* -- reading -- */

const char *strarray_nth(const strarray_t *sa, int idx)
{
    idx = from_start(sa, idx);
    return idx < 0 || idx >= sa->count ? NULL : sa->data[idx];
}

int strarray_find(const strarray_t *sa, const char *s, int start)
{
    for (int i = start < 0 ? 0 : start; i < sa->count; i++) {
        if (!strcmpnull(sa->data[i], s)) return i;
    }
    return -1;
}

int strarray_find_case(const strarray_t *sa, const char *s, int start)
{
    if (!s) return strarray_find(sa, s, start);
    for (int i = start < 0 ? 0 : start; i < sa->count; i++) {
        if (sa->data[i] && !cyr_strcasecmp(sa->data[i], s)) return i;
    }
    return -1;
}

int strarray_cmp(const strarray_t *a, const strarray_t *b)
{
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (int i = 0; i < a->count; i++) {
        int r = strcmpnull(a->data[i], b->data[i]);
        if (r) return r;
    }
    return 0;
}

/* -- order -- */

/* Merge sort: stable, and n log n whatever the input. */
static void merge_sort(char **v, char **tmp, size_t n, strarray_cmpfn_t *cmp)
{
    if (n < 2) return;

    size_t mid = n / 2, i = 0, j = mid, k = 0;
    merge_sort(v, tmp, mid, cmp);
    merge_sort(v + mid, tmp, n - mid, cmp);
    while (i < mid && j < n) tmp[k++] = cmp(&v[i], &v[j]) <= 0 ? v[i++] : v[j++];
    while (i < mid) tmp[k++] = v[i++];
    /* What is left of the right half stands where it belongs. */
    memcpy(v, tmp, k * sizeof(char *));
}

void strarray_sort(strarray_t *sa, strarray_cmpfn_t *cmp)
{
    if (sa->count < 2) return;

    char **tmp = xcalloc((size_t)sa->count, sizeof(char *));
    merge_sort(sa->data, tmp, (size_t)sa->count, cmp ? cmp : cmpstringp_raw);
    free(tmp);
}

void strarray_uniq(strarray_t *sa)
{
    int kept = 0;

    for (int i = 0; i < sa->count; i++) {
        if (kept && !strcmpnull(sa->data[kept - 1], sa->data[i]))
            free(sa->data[i]);
        else
            sa->data[kept++] = sa->data[i];
    }
    sa->count = kept;
    if (sa->data) sa->data[kept] = NULL;
}

int strarray_bsearch(const strarray_t *sa, const char *s)
{
    int low = 0, high = sa->count;

    while (low < high) {
        int mid = low + (high - low) / 2;
        int r = strcmpnull(sa->data[mid], s);
        if (!r) return mid;
        if (r < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}

/* -- text -- */

char *strarray_join(const strarray_t *sa, const char *sep)
{
    struct buf text = BUF_INITIALIZER;
    bool first = true;

    for (int i = 0; i < sa->count; i++) {
        if (!sa->data[i]) continue;
        if (!first && sep) buf_appendcstr(&text, sep);
        buf_appendcstr(&text, sa->data[i]);
        first = false;
    }
    if (first) return NULL;
    return buf_release(&text);
}

static void add_part(strarray_t *sa, const char *s, const char *end, unsigned flags)
{
    if (flags & STRARRAY_TRIM) {
        while (s < end && cyr_isspace(*s)) s++;
        while (end > s && cyr_isspace(end[-1])) end--;
    }
    if (s < end || (flags & STRARRAY_KEEPEMPTY))
        strarray_appendm(sa, xmemdup(s, (size_t)(end - s)));
}

strarray_t *strarray_nsplit(const char *base, size_t len, const char *sep, unsigned flags)
{
    strarray_t *sa = strarray_new();
    const char *end = base ? base + len : NULL, *start = base;

    if (!base) return sa;
    if (!sep) sep = " \t\r\n\v\f";
    for (const char *p = base; p < end; p++) {
        if (*p && strchr(sep, *p)) {
            add_part(sa, start, p, flags);
            start = p + 1;
        }
    }
    add_part(sa, start, end, flags);
    return sa;
}

strarray_t *strarray_split(const char *line, const char *sep, unsigned flags)
{
    return strarray_nsplit(line, line ? strlen(line) : 0, sep, flags);
}

char **strarray_takevf(strarray_t *sa)
{
    ensure(sa, sa->count);

    char **argv = sa->data;
    strarray_init(sa);
    return argv;
}
