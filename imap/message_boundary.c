/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_boundary -- the boundaries of the multiparts that we are inside of
 *
 * The outermost boundary that a line begins with is the one that counts. Thousands
 * of boundaries and millions of lines that nearly match must not multiply, so a line
 * is hashed byte by byte as it goes on, and where the hash so far is that of a
 * boundary of this length, that one is compared. A line costs its length at most.
 */
#include <config.h>

#include "message_boundary.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"
#include "xmalloc.h"

/* With fewer boundaries than this they are simply compared one after the other. */
#define FEW 16

#define SLOTS 4096 /* a power of two */

struct boundary {
    const char *text;
    size_t len;
    uint64_t hash;
    int next; /* the next boundary in this slot, one pushed earlier; -1: none */
};

struct boundary_stack {
    struct boundary *b;
    unsigned count, alloc;
    bool strict;
    uint64_t key;   /* nobody outside can choose texts that collide */
    size_t longest; /* no boundary is longer; may be too large */
    int *slots;     /* by hash: the boundary pushed last; -1: none. NULL as long as they are few. */
};

struct boundary_stack *boundary_stack_new(bool strict)
{
    struct boundary_stack *stack = xzmalloc(sizeof(*stack));

    stack->strict = strict;
    stack->key = hash_bytes("boundary", 8) | 1;
    return stack;
}

void boundary_stack_free(struct boundary_stack **stackp)
{
    free((*stackp)->b);
    free((*stackp)->slots);
    xzfree(*stackp);
}

unsigned boundary_depth(const struct boundary_stack *stack)
{
    return stack->count;
}

static uint64_t hash_step(const struct boundary_stack *stack, uint64_t h, char c)
{
    return (h ^ (unsigned char)c) * stack->key + (h >> 29);
}

static int *slot_of(struct boundary_stack *stack, uint64_t hash)
{
    return &stack->slots[(hash ^ hash >> 32) & (SLOTS - 1)];
}

static void link_boundary(struct boundary_stack *stack, unsigned i)
{
    int *slot = slot_of(stack, stack->b[i].hash);

    stack->b[i].next = *slot;
    *slot = (int)i;
}

static void build_slots(struct boundary_stack *stack)
{
    stack->slots = xcalloc(SLOTS, sizeof(*stack->slots));
    for (unsigned i = 0; i < SLOTS; i++) stack->slots[i] = -1;
    for (unsigned i = 0; i < stack->count; i++) link_boundary(stack, i);
}

void boundary_push(struct boundary_stack *stack, const char *text, size_t len)
{
    struct boundary *b;

    if (stack->count == stack->alloc) {
        stack->alloc = (unsigned)grow_alloc(stack->alloc, stack->count + 1);
        stack->b = xreallocarray(stack->b, stack->alloc, sizeof(*stack->b));
    }
    b = &stack->b[stack->count];
    *b = (struct boundary){ text, len, stack->key, -1 };
    for (size_t i = 0; i < len; i++) b->hash = hash_step(stack, b->hash, text[i]);
    stack->longest = cyr_max(stack->longest, len);
    if (stack->slots) link_boundary(stack, stack->count);
    stack->count++;
    if (!stack->slots && stack->count > FEW) build_slots(stack);
}

void boundary_cut(struct boundary_stack *stack, unsigned depth)
{
    while (stack->count > depth) {
        const struct boundary *b = &stack->b[--stack->count];

        if (stack->slots) *slot_of(stack, b->hash) = b->next;
    }
    if (!stack->count) stack->longest = 0;
}

static bool begins_with(const char *line, size_t len, const struct boundary *b)
{
    return len >= b->len && !memcmp(line, b->text, b->len);
}

/* May what follows the text of a boundary stand there? *closing: two hyphens. */
static bool tail_fits(const struct boundary_stack *stack, const char *p, const char *end,
                      bool *closing)
{
    *closing = end - p >= 2 && p[0] == '-' && p[1] == '-';
    return *closing || stack->strict || p == end || cyr_isspace(*p);
}

static int match_few(struct boundary_stack *stack, const char *line, size_t len, bool *closing)
{
    for (unsigned i = 0; i < stack->count; i++) {
        if (begins_with(line, len, &stack->b[i]) &&
            tail_fits(stack, line + stack->b[i].len, line + len, closing))
            return (int)i;
    }
    return -1;
}

/* The outermost boundary that is exactly the first `n` bytes of the line; -1: none. */
static int find_exact(struct boundary_stack *stack, uint64_t hash, const char *line, size_t n)
{
    int found = -1;

    for (int i = *slot_of(stack, hash); i >= 0; i = stack->b[i].next) {
        const struct boundary *b = &stack->b[i];

        if (b->hash != hash || b->len != n) continue;
        if (found < 0 && memcmp(b->text, line, n)) continue;
        found = i;
    }
    return found;
}

static int match_many(struct boundary_stack *stack, const char *line, size_t len, bool *closing)
{
    size_t longest = cyr_min(len, stack->longest);
    uint64_t hash = stack->key;
    int best = -1;

    for (size_t n = 0; n <= longest; n++) {
        bool closes;

        if (tail_fits(stack, line + n, line + len, &closes)) {
            int i = find_exact(stack, hash, line, n);

            if (i >= 0 && (best < 0 || i < best)) {
                best = i;
                *closing = closes;
            }
        }
        if (n < longest) hash = hash_step(stack, hash, line[n]);
    }
    return best;
}

bool boundary_match(struct boundary_stack *stack, const char *line, size_t len)
{
    bool closing = false;
    int i;

    if (!stack->count || len < 2 || line[0] != '-' || line[1] != '-') return false;
    i = (stack->slots ? match_many : match_few)(stack, line + 2, len - 2, &closing);
    if (i < 0) return false;
    if (closing) boundary_cut(stack, (unsigned)i);
    return true;
}
