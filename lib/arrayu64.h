/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arrayu64 -- a growing array of 64-bit numbers
 *
 * Indexes are 0-based; a negative index counts from the end (-1 is the last).
 * arrayu64_add, _uniq, _bsearch and _remove_value ask for, and keep, rising order.
 */
#ifndef CYL_ARRAYU64_H
#define CYL_ARRAYU64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct arrayu64 {
    size_t count;
    size_t alloc;
    uint64_t *data;
} arrayu64_t;
#define ARRAYU64_INITIALIZER { 0, 0, NULL }

arrayu64_t *arrayu64_new(void);
/* NULL is fine. */
void arrayu64_free(arrayu64_t *au);
void arrayu64_init(arrayu64_t *au);
void arrayu64_fini(arrayu64_t *au);
arrayu64_t *arrayu64_dup(const arrayu64_t *au);

/* At the end, in any order; the index. */
size_t arrayu64_append(arrayu64_t *au, uint64_t v);
/* At its place in rising order, unless it is there; the index. */
size_t arrayu64_add(arrayu64_t *au, uint64_t v);
void arrayu64_set(arrayu64_t *au, ssize_t idx, uint64_t v);
void arrayu64_insert(arrayu64_t *au, ssize_t idx, uint64_t v);
/* Takes the number out; 0 when there is none. */
uint64_t arrayu64_remove(arrayu64_t *au, ssize_t idx);
/* Removes the number from a rising array; 1 when it was there, else 0. */
int arrayu64_remove_value(arrayu64_t *au, uint64_t v);
void arrayu64_truncate(arrayu64_t *au, size_t newlen);

static inline size_t arrayu64_size(const arrayu64_t *au) { return au->count; }
/* 0 when there is none at idx. */
uint64_t arrayu64_nth(const arrayu64_t *au, ssize_t idx);
uint64_t arrayu64_max(const arrayu64_t *au);
/* Index of the first equal number at or after `start`, or -1. */
ssize_t arrayu64_find(const arrayu64_t *au, uint64_t v, size_t start);
/* Index in a rising array, or -1. */
ssize_t arrayu64_bsearch(const arrayu64_t *au, uint64_t v);
/* Rising order. */
void arrayu64_sort(arrayu64_t *au);
/* Removes equal neighbours. */
void arrayu64_uniq(arrayu64_t *au);

#endif
