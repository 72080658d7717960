/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hash -- a table from strings to pointers
 *
 * Keys are NUL-terminated and copied; the data belongs to the caller. The hash is
 * keyed with random bits of the process, so nobody outside can choose keys that
 * collide. Walks go in the order of insertion, and are the same in every run.
 */
#ifndef CYL_HASH_H
#define CYL_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_entry;
typedef struct hash_table {
    struct hash_entry *entries; /* in order of insertion; a removed one has no key */
    uint32_t *slots;            /* index into entries plus 1, 0: free, UINT32_MAX: removed */
    size_t nentries;            /* used part of entries, with the removed ones */
    size_t count;               /* live entries */
    size_t nslots;              /* a power of two, or 0 */
    size_t alloc;
} hash_table;
#define HASH_TABLE_INITIALIZER { NULL, NULL, 0, 0, 0, 0 }

/* An empty table with room for about `size` keys (it grows); returns table. */
hash_table *construct_hash_table(hash_table *table, size_t size);
/*
 * Calls fn on the data of every key (fn NULL: not), then frees; the table is empty and usable
 * again.
 */
void free_hash_table(hash_table *table, void (*fn)(void *data));

/* Sets the data of the key; returns the data it had, or NULL. data must not be NULL. */
void *hash_insert(const char *key, void *data, hash_table *table);
/* NULL when the key is not there. */
void *hash_lookup(const char *key, const hash_table *table);
/* Removes the key; its data, or NULL. */
void *hash_del(const char *key, hash_table *table);
static inline size_t hash_numrecords(const hash_table *table) { return table->count; }

/* Calls fn for every key; fn may remove keys (also others), but not insert. */
void hash_enumerate(hash_table *table, void (*fn)(const char *key, void *data, void *rock),
                    void *rock);
/* The same in byte order of the keys. */
void hash_enumerate_sorted(hash_table *table, void (*fn)(const char *key, void *data, void *rock),
                           void *rock);
struct strarray;
/* Appends all keys. */
void hash_keys(const hash_table *table, struct strarray *keys);

/*
 * Step by step: *pos starts at 0; returns the key, or NULL at the end. Removing is allowed on
 * the way.
 */
const char *hash_next(const hash_table *table, size_t *pos, void **data);

/* The keyed hash itself (SipHash-2-4 with the key of this process), for other tables. */
uint64_t hash_bytes(const void *base, size_t len);
/* SipHash-2-4 with a given 16-byte key. */
uint64_t siphash24(const unsigned char key[16], const void *base, size_t len);

#endif
