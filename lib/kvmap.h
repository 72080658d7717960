/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvmap -- keys and values in memory, in the order of a comparison function
 *
 * Keys are unique under the comparison; a later value replaces an earlier one. A node stays
 * where it is until its key is removed, so a walk may go on while keys are added or values
 * changed. Expected time is logarithmic in the number of keys.
 */
#ifndef INCLUDED_KVMAP_H
#define INCLUDED_KVMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* <0, 0, >0 as memcmp; a total order. */
typedef int kvmap_cmp(const char *a, size_t alen, const char *b, size_t blen);

struct kvmap_node {
    const char *key;
    size_t keylen;
    const char *data; /* NULL: a key without value, such as a staged removal */
    size_t datalen;
    uint64_t number;  /* the caller's */
    uint8_t level;
    struct kvmap_node *next[]; /* level of them */
};

struct kvmap {
    kvmap_cmp *cmp;
    bool borrow; /* keys and values are not copied; they must outlive the map */
    size_t count;
    uint64_t random;
    struct kvmap_node *head;
};

void kvmap_init(struct kvmap *map, kvmap_cmp *cmp, bool borrow);
/* Frees all; the map must be initialised again before it is used. */
void kvmap_fini(struct kvmap *map);
/* Sets the value (data NULL: none, and datalen 0); the node. */
struct kvmap_node *kvmap_set(struct kvmap *map, const char *key, size_t keylen, const char *data, size_t datalen);
/* Takes the key out; false when it is not there. */
bool kvmap_remove(struct kvmap *map, const char *key, size_t keylen);
/* NULL: not there. */
struct kvmap_node *kvmap_find(const struct kvmap *map, const char *key, size_t keylen);
/* The first key >= the given one (after: > it), or NULL. */
struct kvmap_node *kvmap_seek(const struct kvmap *map, const char *key, size_t keylen, bool after);
/* The last key < the given one (key NULL: the last of all), or NULL. */
struct kvmap_node *kvmap_before(const struct kvmap *map, const char *key, size_t keylen);
/* NULL when empty; node->next[0] leads on. */
struct kvmap_node *kvmap_first(const struct kvmap *map);

#endif
