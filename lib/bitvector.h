/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bitvector -- a growing vector of bits
 *
 * Bits are numbered from 0. A bit beyond the length reads as clear; setting one
 * grows the vector.
 */
#ifndef CYL_BITVECTOR_H
#define CYL_BITVECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct bitvector {
    size_t length; /* in bits */
    size_t alloc;  /* in words */
    uint64_t *words; /* bits at and beyond length are clear */
} bitvector_t;
#define BV_INITIALIZER { 0, 0, NULL }

void bv_init(bitvector_t *bv);
void bv_fini(bitvector_t *bv);
/* Cuts, or grows with clear bits. */
void bv_setsize(bitvector_t *bv, size_t length);
void bv_copy(bitvector_t *to, const bitvector_t *from);

bool bv_isset(const bitvector_t *bv, size_t i);
void bv_set(bitvector_t *bv, size_t i);
void bv_clear(bitvector_t *bv, size_t i);
/* All bits up to the length. */
void bv_setall(bitvector_t *bv);
void bv_clearall(bitvector_t *bv);
/* a &= b, a |= b, a &= ~b; _oreq grows a to the length of b. */
void bv_andeq(bitvector_t *a, const bitvector_t *b);
void bv_oreq(bitvector_t *a, const bitvector_t *b);
void bv_andnoteq(bitvector_t *a, const bitvector_t *b);

/* How many bits are set. */
size_t bv_count(const bitvector_t *bv);
/* Number of the first set bit at or after start, or -1. */
ssize_t bv_next_set(const bitvector_t *bv, size_t start);
#define bv_first_set(bv) bv_next_set(bv, 0)
/* Number of the first clear bit (may be the length). */
size_t bv_first_clear(const bitvector_t *bv);

#endif
