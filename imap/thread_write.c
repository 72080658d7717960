/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread_write -- threads merged by subject, and threads as text (RFC 5256 §3, §4)
 *
 * Threads may be as deep as a mailbox is long: nothing here recurses.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "thread_int.h"
#include "xmalloc.h"

/* ---- merging ---- */

/* The root that stands for a subject: one that is no message, else one that is no reply. */
static bool is_better(const struct thread_node *a, const struct thread_node *b)
{
    if (a->real != b->real) return !a->real;
    return a->real && b->reply && !a->reply;
}

static void choose(struct threader *t, const uint32_t *roots, size_t n, hash_table *table)
{
    for (size_t i = 0; i < n; i++) {
        const struct thread_node *node = &t->nodes[roots[i]];
        uintptr_t old;

        if (!*node->subject) continue;
        old = (uintptr_t)hash_lookup(node->subject, table);
        if (!old || is_better(node, &t->nodes[old - 1]))
            hash_insert(node->subject, (void *)((uintptr_t)roots[i] + 1), table);
    }
}

/* `to` is the chosen root of the subject; *moved: where children of a root go that is given up. */
static void merge(struct threader *t, uint32_t root, uint32_t to, uint32_t *moved,
                  hash_table *table)
{
    const struct thread_node *a = &t->nodes[root], *b = &t->nodes[to];
    uint32_t both;

    if (!a->real) {
        moved[root] = to; /* both are no messages, or `to` would be this one */
    }
    else if (!b->real || (a->reply && !b->reply)) {
        t->nodes[root].parent = to;
    }
    else {
        both = thread_new_node(t);
        t->nodes[both].subject = t->nodes[to].subject;
        t->nodes[root].parent = t->nodes[to].parent = both;
        hash_insert(t->nodes[to].subject, (void *)((uintptr_t)both + 1), table);
    }
}

void thread_merge_subjects(struct threader *t, const uint32_t *roots, size_t n)
{
    hash_table table = HASH_TABLE_INITIALIZER;
    uint32_t *moved = xcalloc(t->nnodes + 1, sizeof(*moved));
    size_t nnodes = t->nnodes;

    construct_hash_table(&table, n);
    for (size_t i = 0; i < nnodes; i++) moved[i] = NONE;
    choose(t, roots, n, &table);
    for (size_t i = 0; i < n; i++) {
        const char *subject = t->nodes[roots[i]].subject;
        uint32_t to;

        if (!*subject) continue;
        to = (uint32_t)((uintptr_t)hash_lookup(subject, &table) - 1);
        if (to != roots[i] && t->nodes[roots[i]].parent == NONE)
            merge(t, roots[i], to, moved, &table);
    }
    for (size_t i = 0; i < nnodes; i++) {
        uint32_t parent = t->nodes[i].parent;

        if (parent != NONE && parent < nnodes && moved[parent] != NONE)
            t->nodes[i].parent = moved[parent];
    }
    free_hash_table(&table, NULL);
    free(moved);
}

/* ---- text ---- */

/* Siblings that are still to be written, one entry a level that branches. */
struct stack {
    uint32_t *next;
    size_t n, alloc;
};

static void push(struct stack *s, uint32_t next)
{
    if (s->n == s->alloc) {
        s->alloc = grow_alloc(s->alloc, s->n + 1);
        s->next = xreallocarray(s->next, s->alloc, sizeof(*s->next));
    }
    s->next[s->n++] = next;
}

/* The node, and those below as long as there is one child each; returns the last. */
static uint32_t write_line(const struct threader *t, uint32_t n, bool uid, struct buf *dst)
{
    for (;;) {
        const struct thread_node *node = &t->nodes[n];

        if (node->real) buf_printf(dst, "%" PRIu32, uid ? node->uid : node->msgno);
        if (node->first == NONE) return n;
        if (node->real) buf_putc(dst, ' ');
        if (node->first != node->last) return n;
        n = node->first;
    }
}

void thread_write_tree(const struct threader *t, uint32_t root, bool uid, struct buf *dst)
{
    struct stack stack = { NULL, 0, 0 };
    uint32_t n = root;

    while (n != NONE) {
        buf_putc(dst, '(');
        n = write_line(t, n, uid, dst);
        if (t->nodes[n].first != NONE) {
            n = t->nodes[n].first;
            push(&stack, t->nodes[n].next);
            continue;
        }
        buf_putc(dst, ')');
        while (stack.n && stack.next[stack.n - 1] == NONE) {
            stack.n--;
            buf_putc(dst, ')');
        }
        n = NONE;
        if (stack.n) {
            n = stack.next[stack.n - 1];
            stack.next[stack.n - 1] = t->nodes[n].next;
        }
    }
    free(stack.next);
}
