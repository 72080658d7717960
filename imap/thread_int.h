/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_THREAD_INT_H
#define INCLUDED_THREAD_INT_H
/*
 * thread_int -- nodes of threads, shared by the files of the thread module
 */
#include "hash.h"
#include "thread.h"

#define NONE UINT32_MAX

struct thread_node {
    uint32_t parent;            /* NONE: a root */
    uint32_t first, last, next; /* children, in the order of their dates; the next sibling */
    uint32_t tree;              /* up to the mark of its tree, which is its own */
    uint32_t nchildren;
    bool real;   /* a message; else an id that others mention */
    bool listed; /* is among the roots already */
    bool reply;  /* the subject says so */
    uint32_t msgno, uid;
    time_t date, newest; /* sent; INTERNALDATE */
    const char *subject; /* base subject, "" for none */
    size_t refs, nrefs;  /* in refs of the threader */
};

struct threader {
    enum thread_algorithm algorithm;
    const struct search_source *source;
    struct message_arena *arena;
    struct thread_node *nodes;
    size_t nnodes, alloc_nodes;
    uint32_t *refs; /* nodes that messages refer to, the oldest first */
    size_t nrefs, alloc_refs;
    hash_table by_id; /* message-id, or for ORDEREDSUBJECT base subject, to node + 1 */
    uint32_t current; /* the message that is being added */
};

uint32_t thread_new_node(struct threader *t);
/* Step 5 of REFERENCES: threads with the same subject become one; parents of roots change. */
void thread_merge_subjects(struct threader *t, const uint32_t *roots, size_t n);
/* Append one thread. */
void thread_write_tree(const struct threader *t, uint32_t root, bool uid, struct buf *dst);

#endif
