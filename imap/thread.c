/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread -- messages as threads (RFC 5256 §3)
 *
 * A thread is a tree of nodes: messages, and message-ids that only others mention. A
 * node knows its parent; who is whose child comes last, when all messages are walked
 * once in the order of their dates, so that siblings are in order by themselves. A
 * link that would close a circle is told by a union-find over trees: only roots are
 * ever linked, so "same tree" is "circle".
 *
 * Messages get the parent that they name themselves first; chains of references then
 * fill in what is left. So the result does not depend on the order of replies.
 */
#include <config.h>

#include "thread.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "hash.h"
#include "message_arena.h"
#include "message_cache.h"
#include "message_conv.h"
#include "message_header.h"
#include "thread_int.h"
#include "util.h"
#include "xmalloc.h"

enum thread_algorithm thread_algorithm_lookup(const char *name)
{
    static const char *const names[] = { "ORDEREDSUBJECT", "REFERENCES", "REFS" };

    for (size_t i = 0; i < array_size(names); i++) {
        if (!cyr_strcasecmp(name, names[i])) return (enum thread_algorithm)i;
    }
    return THREAD_UNKNOWN;
}

struct threader *threader_new(enum thread_algorithm algorithm, const struct search_source *source)
{
    struct threader *t = xzmalloc(sizeof(*t));

    t->algorithm = algorithm;
    t->source = source;
    t->arena = message_arena_new();
    construct_hash_table(&t->by_id, 1024);
    return t;
}

void threader_free(struct threader **threaderp)
{
    if (!*threaderp) return;
    free_hash_table(&(*threaderp)->by_id, NULL);
    message_arena_free(&(*threaderp)->arena);
    free((*threaderp)->nodes);
    free((*threaderp)->refs);
    xzfree(*threaderp);
}

/* ---- nodes ---- */

uint32_t thread_new_node(struct threader *t)
{
    struct thread_node *node;

    if (t->nnodes == t->alloc_nodes) {
        t->alloc_nodes = grow_alloc(t->alloc_nodes, t->nnodes + 1);
        t->nodes = xreallocarray(t->nodes, t->alloc_nodes, sizeof(*t->nodes));
    }
    node = &t->nodes[t->nnodes];
    *node = (struct thread_node){ .parent = NONE, .first = NONE, .last = NONE, .next = NONE };
    node->tree = (uint32_t)t->nnodes;
    return (uint32_t)t->nnodes++;
}

/* The node of a message-id. */
static uint32_t node_of(struct threader *t, const char *id)
{
    uintptr_t found = (uintptr_t)hash_lookup(id, &t->by_id);

    if (!found) {
        found = (uintptr_t)thread_new_node(t) + 1;
        hash_insert(id, (void *)found, &t->by_id);
    }
    return (uint32_t)(found - 1);
}

/* ---- what a message says ---- */

/* Appends the nodes that the ids in a text name; true: there was one. */
static bool add_references(struct threader *t, struct msgtext text)
{
    const char *p = text.s, *end;
    size_t before = t->nrefs;
    char *id;

    if (!p) return false;
    end = p + text.len;
    while ((id = message_next_msgid(&p, end))) {
        if (t->nrefs == t->alloc_refs) {
            t->alloc_refs = grow_alloc(t->alloc_refs, t->nrefs + 1);
            t->refs = xreallocarray(t->refs, t->alloc_refs, sizeof(*t->refs));
        }
        t->refs[t->nrefs++] = node_of(t, id);
        free(id);
    }
    return t->nrefs > before;
}

/* Its own node: a second message with the same id gets one that nobody mentions. */
static uint32_t own_node(struct threader *t, struct msgtext msgid)
{
    const char *p = msgid.s;
    char *id = p ? message_next_msgid(&p, msgid.s + msgid.len) : NULL;
    uint32_t node = id ? node_of(t, id) : NONE;

    free(id);
    if (node == NONE || t->nodes[node].real) node = thread_new_node(t);
    return node;
}

static void read_references(struct threader *t, const struct cacherecord *rec,
                            const struct msgtext *envelope)
{
    struct msgtext headers = cacheitem_text(rec, CACHE_HEADERS);
    struct header_field field;

    if (message_header_find(headers.s, headers.len, "References", &field) &&
        add_references(t, field.value))
        return;
    if (add_references(t, envelope[ENV_INREPLYTO])) t->nrefs = t->nodes[t->current].refs + 1;
}

static void read_subject(struct threader *t, const struct cacherecord *rec)
{
    struct thread_node *node = &t->nodes[t->current];
    struct buf base = BUF_INITIALIZER;
    struct msgtext subject;

    if (cacheitem_parse_nstring(cacheitem_base(rec, CACHE_SUBJECT),
                                cacheitem_size(rec, CACHE_SUBJECT), &subject) ||
        !subject.s)
        return;
    node->reply = message_base_subject(subject.s, subject.len, &base);
    buf_replace_char(&base, '\0', ' ');
    node->subject = message_arena_text(t->arena, buf_cstring(&base), base.len + 1).s;
    buf_free(&base);
}

void threader_add(struct threader *t, const struct index_record *rec,
                  const struct index_message *msg)
{
    struct msgtext envelope[NUM_ENVELOPE_TOKENS] = { { NULL, 0 } };
    struct buf view = BUF_INITIALIZER;
    const struct search_source *source = t->source;
    struct cacherecord cache;
    struct thread_node *node;
    bool good = source->cache && !source->cache(source->rock, rec, &view) &&
                !cacherecord_parse(view.s, view.len, &cache) &&
                !cacheitem_parse_envelope(cacheitem_base(&cache, CACHE_ENVELOPE),
                                          cacheitem_size(&cache, CACHE_ENVELOPE), envelope);

    if (source->cache && !good) {
        search_note_unread(source, rec->uid);
        buf_free(&view);
        return;
    }
    t->current = own_node(t, t->algorithm == THREAD_ORDEREDSUBJECT ? (struct msgtext){ NULL, 0 }
                                                                   : envelope[ENV_MSGID]);
    node = &t->nodes[t->current];
    node->real = true;
    node->subject = "";
    node->msgno = msg->msgno;
    node->uid = msg->uid;
    node->date = rec->gmtime ? rec->gmtime : rec->internaldate;
    node->newest = rec->internaldate;
    node->refs = t->nrefs;
    if (good && t->algorithm != THREAD_ORDEREDSUBJECT) read_references(t, &cache, envelope);
    t->nodes[t->current].nrefs = t->nrefs - t->nodes[t->current].refs;
    if (good) read_subject(t, &cache);
    buf_free(&view);
}

/* ---- links ---- */

/* The tree that a node is in. */
static uint32_t tree_of(struct threader *t, uint32_t n)
{
    while (t->nodes[n].tree != n) {
        t->nodes[n].tree = t->nodes[t->nodes[n].tree].tree;
        n = t->nodes[n].tree;
    }
    return n;
}

/* Unless the child has a parent, or is above that node. */
static void link_nodes(struct threader *t, uint32_t parent, uint32_t child)
{
    uint32_t above = tree_of(t, parent), below = tree_of(t, child);

    if (t->nodes[child].parent != NONE || above == below) return;
    t->nodes[child].parent = parent;
    t->nodes[below].tree = above;
}

static void link_references(struct threader *t)
{
    size_t n = t->nnodes;

    for (uint32_t i = 0; i < n; i++) {
        const struct thread_node *node = &t->nodes[i];

        if (node->nrefs) link_nodes(t, t->refs[node->refs + node->nrefs - 1], i);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct thread_node *node = &t->nodes[i];

        for (size_t r = 1; r < node->nrefs; r++)
            link_nodes(t, t->refs[node->refs + r - 1], t->refs[node->refs + r]);
    }
}

/*
 * The nearest message above a node, or the root above it when no message is; NONE for a root. The
 * way is made short for the next one.
 */
static uint32_t real_parent(struct threader *t, uint32_t n)
{
    uint32_t p = t->nodes[n].parent, top = p;

    if (p == NONE) return NONE;
    while (!t->nodes[top].real && t->nodes[top].parent != NONE) top = t->nodes[top].parent;
    while (p != top) {
        uint32_t above = t->nodes[p].parent;

        t->nodes[p].parent = top;
        p = above;
    }
    return top;
}

/* Leaves out ids that are no messages, but for roots that hold several together. */
static void prune(struct threader *t)
{
    for (uint32_t i = 0; i < t->nnodes; i++) {
        uint32_t parent;

        if (!t->nodes[i].real) continue;
        parent = real_parent(t, i);
        t->nodes[i].parent = parent;
        if (parent != NONE) t->nodes[parent].nchildren++;
    }
    for (uint32_t i = 0; i < t->nnodes; i++) {
        uint32_t parent = t->nodes[i].parent;

        if (!t->nodes[i].real || parent == NONE) continue;
        if (!t->nodes[parent].real && t->nodes[parent].nchildren == 1) t->nodes[i].parent = NONE;
    }
}

/* ---- order ---- */

static int compare_dates(const void *pa, const void *pb, void *rock)
{
    const struct threader *t = rock;
    const struct thread_node *a = &t->nodes[*(const uint32_t *)pa];
    const struct thread_node *b = &t->nodes[*(const uint32_t *)pb];

    if (a->date != b->date) return a->date < b->date ? -1 : 1;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static int compare_newest(const void *pa, const void *pb, void *rock)
{
    const struct threader *t = rock;
    const struct thread_node *a = &t->nodes[*(const uint32_t *)pa];
    const struct thread_node *b = &t->nodes[*(const uint32_t *)pb];

    if (a->newest != b->newest) return a->newest < b->newest ? -1 : 1;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static void append_child(struct threader *t, uint32_t parent, uint32_t child)
{
    struct thread_node *p = &t->nodes[parent];

    if (p->first == NONE)
        p->first = child;
    else
        t->nodes[p->last].next = child;
    p->last = child;
}

/* Messages in the order of their dates. The caller frees. */
static uint32_t *sort_messages(struct threader *t, size_t *count)
{
    uint32_t *sorted = xcalloc(t->nnodes + 1, sizeof(*sorted));

    *count = 0;
    for (uint32_t i = 0; i < t->nnodes; i++) {
        if (t->nodes[i].real) sorted[(*count)++] = i;
    }
    if (*count > 1) qsort_r(sorted, *count, sizeof(*sorted), compare_dates, t);
    return sorted;
}

/* A root that is no message takes the place of its first child. */
static void take_date(struct thread_node *root, const struct thread_node *child)
{
    root->date = child->date;
    root->uid = child->uid;
    root->newest = child->newest;
    root->subject = child->subject;
    root->reply = child->reply;
}

/*
 * The roots, in the order of their first messages; a root that is no message stands where its
 * first child does. The caller frees.
 */
static uint32_t *find_roots(struct threader *t, const uint32_t *sorted, size_t n, size_t *count)
{
    uint32_t *roots = xcalloc(n + 1, sizeof(*roots));

    *count = 0;
    for (size_t i = 0; i < n; i++) {
        struct thread_node *node = &t->nodes[sorted[i]];
        struct thread_node *parent;

        if (node->parent == NONE) {
            roots[(*count)++] = sorted[i];
            continue;
        }
        parent = &t->nodes[node->parent];
        if (parent->real || parent->listed) continue;
        parent->listed = true;
        take_date(parent, node);
        roots[(*count)++] = node->parent;
    }
    return roots;
}

/* The last INTERNALDATE in each tree becomes that of its root. */
static void find_newest(struct threader *t, const uint32_t *sorted, size_t n, const uint32_t *roots,
                        size_t nroots)
{
    time_t *newest = xcalloc(t->nnodes + 1, sizeof(*newest));

    for (size_t i = 0; i < n; i++) {
        uint32_t tree = tree_of(t, sorted[i]);

        newest[tree] = cyr_max(newest[tree], t->nodes[sorted[i]].newest);
    }
    for (size_t i = 0; i < nroots; i++) t->nodes[roots[i]].newest = newest[tree_of(t, roots[i])];
    free(newest);
}

/* Same base subject: a thread. */
static void link_subjects(struct threader *t, const uint32_t *sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *subject = t->nodes[sorted[i]].subject;
        uintptr_t first = (uintptr_t)hash_lookup(subject, &t->by_id);

        if (first)
            t->nodes[sorted[i]].parent = (uint32_t)(first - 1);
        else
            hash_insert(subject, (void *)((uintptr_t)sorted[i] + 1), &t->by_id);
    }
}

static void write_roots(struct threader *t, const uint32_t *roots, size_t n, bool uid,
                        struct buf *dst)
{
    for (size_t i = 0; i < n; i++) thread_write_tree(t, roots[i], uid, dst);
}

void threader_write(struct threader *t, bool uid, struct buf *dst)
{
    uint32_t *sorted, *roots;
    size_t n, nroots;

    if (t->algorithm != THREAD_ORDEREDSUBJECT) {
        link_references(t);
        prune(t);
    }
    sorted = sort_messages(t, &n);
    if (t->algorithm == THREAD_ORDEREDSUBJECT) link_subjects(t, sorted, n);
    roots = find_roots(t, sorted, n, &nroots);
    if (t->algorithm == THREAD_REFS) {
        find_newest(t, sorted, n, roots, nroots);
        if (nroots > 1) qsort_r(roots, nroots, sizeof(*roots), compare_newest, t);
    }
    if (t->algorithm == THREAD_REFERENCES) {
        thread_merge_subjects(t, roots, nroots);
        free(roots);
        for (uint32_t i = 0; i < t->nnodes; i++) t->nodes[i].listed = false;
        roots = find_roots(t, sorted, n, &nroots);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t parent = t->nodes[sorted[i]].parent;

        if (parent != NONE) append_child(t, parent, sorted[i]);
    }
    write_roots(t, roots, nroots, uid, dst);
    free(roots);
    free(sorted);
}
