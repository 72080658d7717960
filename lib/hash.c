/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hash -- a table from strings to pointers
 *
 * Entries stand in an array in order of insertion; slots[] is an open-addressing
 * table of indexes into it. Invariants: nslots is 0 or a power of two greater than
 * 4/3 of nentries; a removed entry has key NULL and stays until the table is
 * rebuilt, which happens only on insertion, so walks may remove.
 *
 * The hash is SipHash-2-4 (Aumasson and Bernstein, 2012) under a random key that
 * the process draws at its first use. Nothing fails; no memory is fatal().
 */
#include <config.h>

#include "hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "makeuuid.h"
#include "strarray.h"
#include "xmalloc.h"

struct hash_entry {
    char *key; /* NULL: removed */
    void *data;
    uint64_t hash;
};

#define SLOT_REMOVED UINT32_MAX

/* -- the hash -- */

static uint64_t load_le64(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline uint64_t rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

uint64_t siphash24(const unsigned char key[16], const void *base, size_t len)
{
    const unsigned char *p = base;
    uint64_t k0 = load_le64(key, 8), k1 = load_le64(key + 8, 8);
    uint64_t v[4] = {
        k0 ^ 0x736f6d6570736575ULL,
        k1 ^ 0x646f72616e646f6dULL,
        k0 ^ 0x6c7967656e657261ULL,
        k1 ^ 0x7465646279746573ULL,
    };

    for (size_t left = len; left >= 8; left -= 8, p += 8) {
        uint64_t m = load_le64(p, 8);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = load_le64(p, len % 8) | (uint64_t)(len & 0xff) << 56;
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(const void *base, size_t len)
{
    static unsigned char key[16];
    static bool have_key;

    if (!have_key) {
        random_bytes(key, sizeof(key));
        have_key = true;
    }
    return siphash24(key, base, len);
}

/* -- the table -- */

hash_table *construct_hash_table(hash_table *table, size_t size)
{
    *table = (hash_table)HASH_TABLE_INITIALIZER;
    if (size > UINT32_MAX / 4) size = UINT32_MAX / 4;
    if (size) {
        table->alloc = size;
        table->entries = xcalloc(size, sizeof(struct hash_entry));
        table->nslots = grow_alloc(16, size + size / 2);
        table->slots = xcalloc(table->nslots, sizeof(uint32_t));
    }
    return table;
}

void free_hash_table(hash_table *table, void (*fn)(void *data))
{
    for (size_t i = 0; i < table->nentries; i++) {
        struct hash_entry *e = &table->entries[i];
        if (e->key && fn) fn(e->data);
        free(e->key);
    }
    free(table->entries);
    free(table->slots);
    *table = (hash_table)HASH_TABLE_INITIALIZER;
}

/* The slot that holds the key, or SIZE_MAX. */
static size_t find_slot(const hash_table *table, const char *key, uint64_t hash)
{
    if (!table->nslots) return SIZE_MAX;

    size_t mask = table->nslots - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = table->slots[i];
        if (!slot) return SIZE_MAX;
        if (slot == SLOT_REMOVED) continue;
        const struct hash_entry *e = &table->entries[slot - 1];
        if (e->hash == hash && !strcmp(e->key, key)) return i;
    }
}

/* Drops removed entries and makes room for one more. */
static void rebuild(hash_table *table)
{
    size_t n = 0;

    for (size_t i = 0; i < table->nentries; i++) {
        if (table->entries[i].key) table->entries[n++] = table->entries[i];
    }
    table->nentries = n;

    size_t want = grow_alloc(16, (n + 1) * 2);
    if (want > UINT32_MAX / 2) fatal("hash table too large", EX_TEMPFAIL);
    free(table->slots);
    table->slots = xcalloc(want, sizeof(uint32_t));
    table->nslots = want;
    size_t alloc = want - want / 4;
    if (alloc > table->alloc) {
        table->entries = xreallocarray(table->entries, alloc, sizeof(struct hash_entry));
        table->alloc = alloc;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = table->entries[i].hash & (want - 1);
        while (table->slots[at]) at = (at + 1) & (want - 1);
        table->slots[at] = (uint32_t)(i + 1);
    }
}

void *hash_insert(const char *key, void *data, hash_table *table)
{
    uint64_t hash = hash_bytes(key, strlen(key));
    size_t at = find_slot(table, key, hash);

    if (at != SIZE_MAX) {
        struct hash_entry *e = &table->entries[table->slots[at] - 1];
        void *old = e->data;
        e->data = data;
        return old;
    }

    if (table->nentries >= table->alloc || table->nentries >= table->nslots - table->nslots / 4)
        rebuild(table);

    size_t mask = table->nslots - 1;
    for (at = hash & mask; table->slots[at]; at = (at + 1) & mask) continue;
    table->entries[table->nentries++] = (struct hash_entry){ .key = xstrdup(key),
                                                             .data = data,
                                                             .hash = hash };
    table->slots[at] = (uint32_t)table->nentries;
    table->count++;
    return NULL;
}

void *hash_lookup(const char *key, const hash_table *table)
{
    size_t at = find_slot(table, key, hash_bytes(key, strlen(key)));
    return at == SIZE_MAX ? NULL : table->entries[table->slots[at] - 1].data;
}

void *hash_del(const char *key, hash_table *table)
{
    size_t at = find_slot(table, key, hash_bytes(key, strlen(key)));
    if (at == SIZE_MAX) return NULL;

    struct hash_entry *e = &table->entries[table->slots[at] - 1];
    void *data = e->data;
    xzfree(e->key);
    table->slots[at] = SLOT_REMOVED;
    table->count--;
    return data;
}

/* -- walks -- */

const char *hash_next(const hash_table *table, size_t *pos, void **data)
{
    while (*pos < table->nentries) {
        const struct hash_entry *e = &table->entries[(*pos)++];
        if (!e->key) continue;
        if (data) *data = e->data;
        return e->key;
    }
    return NULL;
}

void hash_enumerate(hash_table *table, void (*fn)(const char *key, void *data, void *rock),
                    void *rock)
{
    size_t pos = 0;
    void *data;
    const char *key;

    while ((key = hash_next(table, &pos, &data))) fn(key, data, rock);
}

void hash_enumerate_sorted(hash_table *table, void (*fn)(const char *key, void *data, void *rock),
                           void *rock)
{
    strarray_t keys = STRARRAY_INITIALIZER;

    hash_keys(table, &keys);
    strarray_sort(&keys, NULL);
    for (int i = 0; i < keys.count; i++) {
        void *data = hash_lookup(keys.data[i], table);
        if (data) fn(keys.data[i], data, rock);
    }
    strarray_fini(&keys);
}

void hash_keys(const hash_table *table, struct strarray *keys)
{
    size_t pos = 0;
    const char *key;

    while ((key = hash_next(table, &pos, NULL))) strarray_append(keys, key);
}
