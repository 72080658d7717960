/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ptrarray -- a growing array of pointers it does not own
 *
 * Indexes are 0-based; a negative index counts from the end (-1 is the last).
 */
#ifndef CYL_PTRARRAY_H
#define CYL_PTRARRAY_H

#include <stddef.h>

typedef struct ptrarray {
    int count;
    int alloc;
    void **data;
} ptrarray_t;
#define PTRARRAY_INITIALIZER { 0, 0, NULL }

ptrarray_t *ptrarray_new(void);
/* Frees the array, not what it points to. NULL is fine. */
void ptrarray_free(ptrarray_t *pa);
void ptrarray_init(ptrarray_t *pa);
void ptrarray_fini(ptrarray_t *pa);
/* Calls fn on every pointer that is not NULL, then empties the array. */
void ptrarray_fini_with(ptrarray_t *pa, void (*fn)(void *));

/* All return the index of the pointer. */
int ptrarray_append(ptrarray_t *pa, void *p);
/* Appends unless it is there already. */
int ptrarray_add(ptrarray_t *pa, void *p);
/* Replaces; grows with NULLs when idx is beyond the end. */
void ptrarray_set(ptrarray_t *pa, int idx, void *p);
void ptrarray_insert(ptrarray_t *pa, int idx, void *p);
/* Takes the pointer out; NULL when there is none. */
void *ptrarray_remove(ptrarray_t *pa, int idx);
void ptrarray_truncate(ptrarray_t *pa, int newlen);

#define ptrarray_push(pa, p) ptrarray_append(pa, p)
#define ptrarray_pop(pa) ptrarray_remove(pa, -1)
#define ptrarray_shift(pa) ptrarray_remove(pa, 0)
#define ptrarray_unshift(pa, p) ptrarray_insert(pa, 0, p)

static inline int ptrarray_size(const ptrarray_t *pa) { return pa->count; }
/* NULL when there is none at idx. */
void *ptrarray_nth(const ptrarray_t *pa, int idx);
/* Index of the first equal pointer at or after `start`, or -1. */
int ptrarray_find(const ptrarray_t *pa, const void *p, int start);
/* qsort-style: cmp gets pointers to two `void *`. Stable. */
void ptrarray_sort(ptrarray_t *pa, int (*cmp)(const void *a, const void *b));

#endif
