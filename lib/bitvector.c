/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bitvector -- a growing vector of bits
 *
 * Invariant: bits of allocated words at and beyond length are clear, so counts and
 * comparisons can go word by word. Growth doubles. Nothing fails; no memory is
 * fatal().
 */
#include <config.h>

#include "bitvector.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "xmalloc.h"

#define WORD_BITS 64
#define WORD(i) ((i) / WORD_BITS)
#define MASK(i) (UINT64_C(1) << ((i) % WORD_BITS))

static size_t words_for(size_t bits)
{
    return bits / WORD_BITS + (bits % WORD_BITS != 0);
}

void bv_init(bitvector_t *bv)
{
    *bv = (bitvector_t)BV_INITIALIZER;
}

void bv_fini(bitvector_t *bv)
{
    free(bv->words);
    bv_init(bv);
}

void bv_setsize(bitvector_t *bv, size_t length)
{
    size_t need = words_for(length);

    if (need > bv->alloc) {
        size_t alloc = grow_alloc(bv->alloc, need);
        bv->words = xreallocarray(bv->words, alloc, sizeof(uint64_t));
        memset(bv->words + bv->alloc, 0, (alloc - bv->alloc) * sizeof(uint64_t));
        bv->alloc = alloc;
    }
    if (length < bv->length) {
        size_t old = words_for(bv->length);
        if (length % WORD_BITS) bv->words[WORD(length)] &= MASK(length) - 1;
        memset(bv->words + need, 0, (old - need) * sizeof(uint64_t));
    }
    bv->length = length;
}

void bv_copy(bitvector_t *to, const bitvector_t *from)
{
    if (to == from) return;
    bv_setsize(to, from->length);
    if (from->length) memcpy(to->words, from->words, words_for(from->length) * sizeof(uint64_t));
}

bool bv_isset(const bitvector_t *bv, size_t i)
{
    return i < bv->length && (bv->words[WORD(i)] & MASK(i));
}

void bv_set(bitvector_t *bv, size_t i)
{
    if (i == SIZE_MAX) fatal("bit vector too large", EX_TEMPFAIL);
    if (i >= bv->length) bv_setsize(bv, i + 1);
    bv->words[WORD(i)] |= MASK(i);
}

void bv_clear(bitvector_t *bv, size_t i)
{
    if (i < bv->length) bv->words[WORD(i)] &= ~MASK(i);
}

void bv_setall(bitvector_t *bv)
{
    size_t n = words_for(bv->length);

    if (!n) return;
    memset(bv->words, 0xff, n * sizeof(uint64_t));
    if (bv->length % WORD_BITS) bv->words[n - 1] = MASK(bv->length) - 1;
}

void bv_clearall(bitvector_t *bv)
{
    if (bv->length) memset(bv->words, 0, words_for(bv->length) * sizeof(uint64_t));
}

void bv_andeq(bitvector_t *a, const bitvector_t *b)
{
    size_t nb = words_for(b->length);

    for (size_t i = 0; i < words_for(a->length); i++) a->words[i] &= i < nb ? b->words[i] : 0;
}

void bv_oreq(bitvector_t *a, const bitvector_t *b)
{
    if (b->length > a->length) bv_setsize(a, b->length);
    for (size_t i = 0; i < words_for(b->length); i++) a->words[i] |= b->words[i];
}

void bv_andnoteq(bitvector_t *a, const bitvector_t *b)
{
    size_t nb = words_for(b->length);

    for (size_t i = 0; i < words_for(a->length) && i < nb; i++) a->words[i] &= ~b->words[i];
}

size_t bv_count(const bitvector_t *bv)
{
    size_t n = 0;

    for (size_t i = 0; i < words_for(bv->length); i++)
        n += (size_t)__builtin_popcountll(bv->words[i]);
    return n;
}

ssize_t bv_next_set(const bitvector_t *bv, size_t start)
{
    if (start >= bv->length) return -1;

    size_t i = WORD(start), n = words_for(bv->length);
    uint64_t word = bv->words[i] & ~(MASK(start) - 1);
    while (!word) {
        if (++i == n) return -1;
        word = bv->words[i];
    }
    return (ssize_t)(i * WORD_BITS + (size_t)__builtin_ctzll(word));
}

size_t bv_first_clear(const bitvector_t *bv)
{
    for (size_t i = 0; i < words_for(bv->length); i++) {
        uint64_t clear = ~bv->words[i];
        if (!clear) continue;
        size_t at = i * WORD_BITS + (size_t)__builtin_ctzll(clear);
        return at < bv->length ? at : bv->length;
    }
    return bv->length;
}
