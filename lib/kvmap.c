/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvmap -- keys and values in memory, in the order of a comparison function
 *
 * A skip list whose levels are drawn with probability 1/4. Nothing fails: no memory
 * is fatal().
 */
#include <config.h>

#include "kvmap.h"

#include <stdlib.h>
#include <string.h>

#include "makeuuid.h"
#include "xmalloc.h"

#define MAXLEVEL 20

static struct kvmap_node *new_node(unsigned level)
{
    struct kvmap_node *node = xzmalloc(sizeof(*node) + level * sizeof(struct kvmap_node *));
    node->level = (uint8_t)level;
    return node;
}

void kvmap_init(struct kvmap *map, kvmap_cmp *cmp, bool borrow)
{
    map->cmp = cmp;
    map->borrow = borrow;
    map->count = 0;
    random_bytes(&map->random, sizeof(map->random));
    map->random |= 1;
    map->head = new_node(MAXLEVEL);
}

static void free_node(struct kvmap *map, struct kvmap_node *node)
{
    if (!map->borrow) {
        free((void *)(uintptr_t)node->key);
        free((void *)(uintptr_t)node->data);
    }
    free(node);
}

void kvmap_fini(struct kvmap *map)
{
    struct kvmap_node *node, *next;
    for (node = map->head; node; node = next) {
        next = node->next[0];
        free_node(map, node);
    }
    map->head = NULL;
    map->count = 0;
}

static unsigned draw_level(struct kvmap *map)
{
    uint64_t x = map->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    map->random = x;

    unsigned level = 1;
    for (x >>= 16; level < MAXLEVEL && !(x & 3); x >>= 2) level++;
    return level;
}

/* The last node before the key (inclusive: or at it) in each list; the one in list 0. */
static struct kvmap_node *search(const struct kvmap *map, const char *key, size_t keylen, bool inclusive,
                                 struct kvmap_node *back[MAXLEVEL])
{
    struct kvmap_node *node = map->head;
    for (int i = MAXLEVEL - 1; i >= 0; i--) {
        struct kvmap_node *next;
        while ((next = node->next[i])) {
            int c = key ? map->cmp(next->key, next->keylen, key, keylen) : -1;
            if (c > 0 || (!c && !inclusive)) break;
            node = next;
        }
        if (back) back[i] = node;
    }
    return node;
}

static void set_data(struct kvmap *map, struct kvmap_node *node, const char *data, size_t datalen)
{
    if (map->borrow) {
        node->data = data;
    }
    else {
        char *copy = data ? xmemdup(data, datalen) : NULL; /* data may be the old value */
        free((void *)(uintptr_t)node->data);
        node->data = copy;
    }
    node->datalen = data ? datalen : 0;
}

struct kvmap_node *kvmap_set(struct kvmap *map, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct kvmap_node *back[MAXLEVEL];
    struct kvmap_node *node = search(map, key, keylen, false, back)->next[0];

    if (!node || map->cmp(node->key, node->keylen, key, keylen)) {
        node = new_node(draw_level(map));
        node->key = map->borrow ? key : xmemdup(key, keylen);
        node->keylen = keylen;
        for (unsigned i = 0; i < node->level; i++) {
            node->next[i] = back[i]->next[i];
            back[i]->next[i] = node;
        }
        map->count++;
    }
    set_data(map, node, data, datalen);
    return node;
}

bool kvmap_remove(struct kvmap *map, const char *key, size_t keylen)
{
    struct kvmap_node *back[MAXLEVEL];
    struct kvmap_node *node = search(map, key, keylen, false, back)->next[0];

    if (!node || map->cmp(node->key, node->keylen, key, keylen)) return false;
    for (unsigned i = 0; i < node->level; i++) back[i]->next[i] = node->next[i];
    free_node(map, node);
    map->count--;
    return true;
}

struct kvmap_node *kvmap_find(const struct kvmap *map, const char *key, size_t keylen)
{
    struct kvmap_node *node = kvmap_seek(map, key, keylen, false);
    return node && !map->cmp(node->key, node->keylen, key, keylen) ? node : NULL;
}

struct kvmap_node *kvmap_seek(const struct kvmap *map, const char *key, size_t keylen, bool after)
{
    return search(map, key, keylen, after, NULL)->next[0];
}

struct kvmap_node *kvmap_before(const struct kvmap *map, const char *key, size_t keylen)
{
    struct kvmap_node *node = search(map, key, keylen, false, NULL);
    return node == map->head ? NULL : node;
}

struct kvmap_node *kvmap_first(const struct kvmap *map)
{
    return map->head->next[0];
}
