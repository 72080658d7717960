/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_ARENA_H
#define INCLUDED_MESSAGE_ARENA_H
/*
 * message_arena -- memory that lives as long as one parsed message
 *
 * Many small pieces, freed together. Pieces are zeroed and aligned for any type.
 * No function fails: no memory is fatal().
 */
#include <stddef.h>

/* Some bytes of somebody else; s NULL: absent (len is 0 then). No NUL at the end. */
struct msgtext {
    const char *s;
    size_t len;
};

struct message_arena;
struct message_arena *message_arena_new(void);
void message_arena_free(struct message_arena **arenap); /* NULL is fine */
void *message_arena_alloc(struct message_arena *arena, size_t size);
/* A copy of the bytes. */
struct msgtext message_arena_text(struct message_arena *arena, const char *s, size_t len);

#endif
