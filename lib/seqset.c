/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seqset -- sets of UIDs or message numbers ("1:4,7,9:*")
 *
 * Invariants: set[0..len) are ranges in rising order; low <= high, low > 0; between
 * two ranges at least one number is missing. So the text of a set is unique, look-ups
 * are binary searches, and joining two sets is one merge. Parsing costs n log n
 * whatever the order of the ranges. No memory is fatal(); bad text is NULL.
 *
 * RFC 3501 §9 sequence-set; like 3.6.1, 0 is accepted and matches nothing
 * (handbook 04, "Sequence sets").
 */
#include <config.h>

#include "seqset.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "util.h"
#include "xmalloc.h"

/* -- life -- */

struct seqset *seqset_init(uint32_t maxval, unsigned flags)
{
    struct seqset *set = xzmalloc(sizeof(*set));

    set->maxval = maxval;
    set->flags = flags;
    return set;
}

void seqset_free(struct seqset *set)
{
    if (!set) return;
    free(set->set);
    free(set);
}

static void ensure(struct seqset *set, size_t n)
{
    if (n <= set->alloc) return;
    set->alloc = grow_alloc(set->alloc, n);
    set->set = xreallocarray(set->set, set->alloc, sizeof(struct seq_range));
}

struct seqset *seqset_dup(const struct seqset *set)
{
    struct seqset *copy = seqset_init(set->maxval, set->flags);

    ensure(copy, set->len);
    if (set->len) memcpy(copy->set, set->set, set->len * sizeof(struct seq_range));
    copy->len = set->len;
    copy->gap = set->gap;
    return copy;
}

void seqset_clear(struct seqset *set)
{
    set->len = 0;
    set->gap = 0;
    seqset_reset(set);
}

/* Puts a range that begins at or after the start of the last one at the end. */
static void push_range(struct seqset *set, uint32_t low, uint32_t high)
{
    if (set->len) {
        struct seq_range *last = &set->set[set->len - 1];
        if (last->high == UINT32_MAX || low <= last->high + 1) {
            if (high > last->high) last->high = high;
            return;
        }
    }
    ensure(set, set->len + 1);
    set->set[set->len++] = (struct seq_range){ low, high };
}

/* The set takes the ranges of another, which is emptied; walk and flags stay. */
static void take_ranges(struct seqset *set, struct seqset *from)
{
    free(set->set);
    set->set = from->set;
    set->len = from->len;
    set->alloc = from->alloc;
    *from = (struct seqset){ 0 };
}

/* -- text -- */

/* One number or "*" of a sequence-set. */
static int parse_number(const char **p, const char *end, uint32_t maxval, uint32_t *res)
{
    if (*p < end && **p == '*') {
        (*p)++;
        *res = maxval ? maxval : UINT32_MAX;
        return 0;
    }
    return scan_u32(p, end, res);
}

static int parse_range(const char **p, const char *end, uint32_t maxval, struct seq_range *range)
{
    int r = parse_number(p, end, maxval, &range->low);
    if (r) return r;

    range->high = range->low;
    if (*p < end && **p == ':') {
        (*p)++;
        r = parse_number(p, end, maxval, &range->high);
        if (r) return r;
    }
    if (range->low > range->high) {
        uint32_t low = range->high;
        range->high = range->low;
        range->low = low;
    }
    return 0;
}

static int cmp_range(const void *a, const void *b)
{
    const struct seq_range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

/* The ranges of a text as they come; NULL with *n = SIZE_MAX when it is bad. */
static struct seq_range *parse_ranges(const char *text, size_t len, uint32_t maxval, size_t *n)
{
    const char *p = text, *end = text + len;
    struct seq_range *ranges = NULL;
    size_t alloc = 0;

    *n = 0;
    for (;;) {
        struct seq_range range;
        if (*n == SEQSET_MAX_RANGES || parse_range(&p, end, maxval, &range)) break;
        if (!range.low) range.low = 1;
        if (range.high) {
            if (*n == alloc) {
                alloc = grow_alloc(alloc, *n + 1);
                ranges = xreallocarray(ranges, alloc, sizeof(*ranges));
            }
            ranges[(*n)++] = range;
        }
        if (p == end) return ranges;
        if (*p++ != ',') break;
    }
    free(ranges);
    *n = SIZE_MAX;
    return NULL;
}

struct seqset *seqset_parse_map(const char *text, size_t len, struct seqset *set, uint32_t maxval)
{
    struct seqset parsed = { 0 };
    size_t n;
    struct seq_range *ranges = parse_ranges(text, len, maxval, &n);

    if (n == SIZE_MAX) return NULL;
    if (n > 1) qsort(ranges, n, sizeof(*ranges), cmp_range);
    for (size_t i = 0; i < n; i++) push_range(&parsed, ranges[i].low, ranges[i].high);
    free(ranges);

    if (!set) set = seqset_init(maxval, SEQ_SPARSE);
    seqset_join(set, &parsed);
    free(parsed.set);
    return set;
}

struct seqset *seqset_parse(const char *text, struct seqset *set, uint32_t maxval)
{
    return seqset_parse_map(text, strlen(text), set, maxval);
}

bool seqset_isvalid(const char *text, size_t len)
{
    size_t n;

    free(parse_ranges(text, len, 0, &n));
    return n != SIZE_MAX;
}

bool seqset_hasstar(const char *text, size_t len)
{
    return memchr(text, '*', len) != NULL;
}

void seqset_appendto(const struct seqset *set, struct buf *dst)
{
    for (size_t i = 0; i < set->len; i++) {
        const struct seq_range *r = &set->set[i];
        if (i) buf_putc(dst, ',');
        buf_printf(dst, "%u", r->low);
        if (r->high != r->low) buf_printf(dst, ":%u", r->high);
    }
}

char *seqset_cstring(const struct seqset *set)
{
    struct buf text = BUF_INITIALIZER;

    if (!set->len) return NULL;
    seqset_appendto(set, &text);
    return buf_release(&text);
}

/* -- changing -- */

/* Index of the first range that ends at or after num; len when there is none. */
static size_t find_range(const struct seqset *set, uint32_t num)
{
    size_t low = 0, high = set->len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (set->set[mid].high < num)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void seqset_addrange(struct seqset *set, uint32_t low, uint32_t high)
{
    if (!low) low = 1;
    if (low > high) return;

    if (!set->len || low >= set->set[set->len - 1].low) {
        push_range(set, low, high);
        return;
    }
    /* All ranges that touch the new one become one with it. */
    size_t from = find_range(set, low - 1), to = from;
    while (to < set->len && (high == UINT32_MAX || set->set[to].low <= high + 1)) {
        if (set->set[to].low < low) low = set->set[to].low;
        if (set->set[to].high > high) high = set->set[to].high;
        to++;
    }
    if (to == from) ensure(set, set->len + 1);
    memmove(set->set + from + 1, set->set + to, (set->len - to) * sizeof(struct seq_range));
    set->set[from] = (struct seq_range){ low, high };
    set->len = set->len - (to - from) + 1;
}

void seqset_remove(struct seqset *set, uint32_t num)
{
    size_t i = find_range(set, num);
    if (i == set->len || set->set[i].low > num) return;

    struct seq_range *r = &set->set[i];
    if (r->low == r->high) {
        memmove(r, r + 1, (set->len - i - 1) * sizeof(*r));
        set->len--;
    }
    else if (num == r->low) {
        r->low++;
    }
    else if (num == r->high) {
        r->high--;
    }
    else {
        ensure(set, set->len + 1);
        r = &set->set[i];
        memmove(r + 1, r, (set->len - i) * sizeof(*r));
        set->len++;
        r[0].high = num - 1;
        r[1].low = num + 1;
    }
}

void seqset_add(struct seqset *set, uint32_t num, bool ismember)
{
    if (!num) return;
    if (!ismember) {
        seqset_remove(set, num);
        set->gap = 0;
        return;
    }
    if ((set->flags & SEQ_MERGE) && set->gap && set->gap < num)
        seqset_addrange(set, set->gap, num);
    else
        seqset_addrange(set, num, num);
    set->gap = num;
}

void seqset_join(struct seqset *a, const struct seqset *b)
{
    struct seqset res = { 0 };
    size_t i = 0, j = 0;

    if (!b->len) return;
    ensure(&res, a->len + b->len);
    while (i < a->len || j < b->len) {
        const struct seq_range *r;
        if (j == b->len || (i < a->len && a->set[i].low <= b->set[j].low))
            r = &a->set[i++];
        else
            r = &b->set[j++];
        push_range(&res, r->low, r->high);
    }
    take_ranges(a, &res);
}

void seqset_intersect(struct seqset *a, const struct seqset *b)
{
    struct seqset res = { 0 };
    size_t i = 0, j = 0;

    while (i < a->len && j < b->len) {
        uint32_t low = cyr_max(a->set[i].low, b->set[j].low);
        uint32_t high = cyr_min(a->set[i].high, b->set[j].high);
        if (low <= high) push_range(&res, low, high);
        if (a->set[i].high < b->set[j].high)
            i++;
        else
            j++;
    }
    a->gap = 0;
    take_ranges(a, &res);
}

void seqset_subtract(struct seqset *a, const struct seqset *b)
{
    struct seqset res = { 0 };
    size_t j = 0;

    for (size_t i = 0; i < a->len; i++) {
        uint64_t low = a->set[i].low, high = a->set[i].high;
        while (j < b->len && b->set[j].high < low) j++;
        for (size_t k = j; k < b->len && b->set[k].low <= high && low <= high; k++) {
            if (b->set[k].low > low) push_range(&res, (uint32_t)low, b->set[k].low - 1);
            low = (uint64_t)b->set[k].high + 1;
        }
        if (low <= high) push_range(&res, (uint32_t)low, (uint32_t)high);
    }
    a->gap = 0;
    take_ranges(a, &res);
}

/* -- reading -- */

bool seqset_ismember(const struct seqset *set, uint32_t num)
{
    size_t i = find_range(set, num);
    return num && i < set->len && set->set[i].low <= num;
}

bool seqset_isempty(const struct seqset *set)
{
    return !set->len;
}

uint32_t seqset_first(const struct seqset *set)
{
    return set->len ? set->set[0].low : 0;
}

uint32_t seqset_last(const struct seqset *set)
{
    return set->len ? set->set[set->len - 1].high : 0;
}

uint32_t seqset_firstnonmember(const struct seqset *set)
{
    if (!set->len || set->set[0].low > 1) return 1;
    return set->set[0].high == UINT32_MAX ? 0 : set->set[0].high + 1;
}

uint64_t seqset_count(const struct seqset *set)
{
    uint64_t n = 0;

    for (size_t i = 0; i < set->len; i++) n += (uint64_t)set->set[i].high - set->set[i].low + 1;
    return n;
}

uint32_t seqset_after(const struct seqset *set, uint32_t num)
{
    if (num == UINT32_MAX) return 0;

    size_t i = find_range(set, num + 1);
    if (i == set->len) return 0;
    return set->set[i].low > num ? set->set[i].low : num + 1;
}

uint32_t seqset_getnext(struct seqset *set)
{
    /* Mostly the next number is in the range that gave the last. */
    if (set->prev && set->current < set->len) {
        const struct seq_range *r = &set->set[set->current];
        if (r->low <= set->prev && set->prev < r->high) return ++set->prev;
    }
    uint32_t next = seqset_after(set, set->prev);
    if (next) {
        set->prev = next;
        set->current = find_range(set, next);
    }
    return next;
}

void seqset_reset(struct seqset *set)
{
    set->prev = 0;
    set->current = 0;
}

bool seqset_equal(const struct seqset *a, const struct seqset *b)
{
    return a->len == b->len &&
           (!a->len || !memcmp(a->set, b->set, a->len * sizeof(struct seq_range)));
}
