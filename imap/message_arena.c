/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_arena -- memory that lives as long as one parsed message
 *
 * Pieces are cut from blocks of BLOCK bytes; a piece too large for that gets a
 * block of its own. Nothing fails: no memory is fatal().
 */
#include <config.h>

#include "message_arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "xmalloc.h"

#define BLOCK 8192

struct block {
    struct block *next;
    size_t used, size; /* of data */
    alignas(max_align_t) char data[];
};

struct message_arena {
    struct block *first; /* the one that is cut from */
};

struct message_arena *message_arena_new(void)
{
    return xzmalloc(sizeof(struct message_arena));
}

void message_arena_free(struct message_arena **arenap)
{
    if (!*arenap) return;
    for (struct block *b = (*arenap)->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(*arenap);
    *arenap = NULL;
}

static struct block *new_block(size_t size)
{
    struct block *b = xmalloc(sizeof(*b) + size);

    b->next = NULL;
    b->used = 0;
    b->size = size;
    return b;
}

/* A large piece goes behind the block in use, which keeps its free end. */
static void *alloc_large(struct message_arena *arena, size_t size)
{
    struct block *b = new_block(size);

    b->used = size;
    if (arena->first) {
        b->next = arena->first->next;
        arena->first->next = b;
    }
    else {
        arena->first = b;
    }
    return b->data;
}

static void *take(struct message_arena *arena, size_t size)
{
    struct block *b = arena->first;
    void *piece;

    if (size > SIZE_MAX / 2) fatal("message_arena: too large", 75);
    size = roundup2(size ? size : 1, alignof(max_align_t));
    if (size > BLOCK / 4) return alloc_large(arena, size);
    if (!b || b->size - b->used < size) {
        b = new_block(BLOCK);
        b->next = arena->first;
        arena->first = b;
    }
    piece = b->data + b->used;
    b->used += size;
    return piece;
}

void *message_arena_alloc(struct message_arena *arena, size_t size)
{
    return memset(take(arena, size), 0, size);
}

struct msgtext message_arena_text(struct message_arena *arena, const char *s, size_t len)
{
    char *copy = take(arena, len);

    if (len) memcpy(copy, s, len);
    return (struct msgtext){ copy, len };
}
