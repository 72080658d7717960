/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seqset -- sets of UIDs or message numbers ("1:4,7,9:*")
 *
 * A set is a rising list of ranges that neither touch nor overlap. Numbers are
 * 1..4294967295. Text is RFC 3501 sequence-set: numbers and ranges in any
 * order, either end of a range first, "*" for the largest number in use.
 */
#ifndef CYL_SEQSET_H
#define CYL_SEQSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seq_range {
    uint32_t low;
    uint32_t high; /* inclusive */
};

struct seqset {
    struct seq_range *set;
    size_t len;
    size_t alloc;
    size_t current; /* range that seqset_getnext is in */
    uint32_t prev;  /* last number it gave out, 0 at the start */
    uint32_t maxval;
    unsigned flags;
    uint32_t gap;   /* SEQ_MERGE: last member told, with nothing but untold numbers since; else 0 */
};

/* How seqset_add takes numbers between two members that it was never told about. */
#define SEQ_SPARSE 0u /* they are not members */
#define SEQ_MERGE 1u  /* they may be joined in: shorter text for sets of seen UIDs */

/* Ranges that one text may hold; more is bad syntax. */
#define SEQSET_MAX_RANGES 1000000

/* -- life -- */
/* maxval: what "*" stands for; 0 when unknown, then it stands for UINT32_MAX. */
struct seqset *seqset_init(uint32_t maxval, unsigned flags);
/* NULL is fine. */
void seqset_free(struct seqset *set);
struct seqset *seqset_dup(const struct seqset *set);

/*
 * Adds the ranges of the text to the set (NULL: to a new one); "*" stands for
 * maxval (0: unknown, UINT32_MAX). Returns the set, or NULL for bad syntax, a number
 * above UINT32_MAX, or too many ranges (the given set is then as before). The number
 * 0 is accepted and matches nothing ("0:3" is "1:3"), as in 3.6.1.
 */
struct seqset *seqset_parse(const char *text, struct seqset *set, uint32_t maxval);
struct seqset *seqset_parse_map(const char *text, size_t len, struct seqset *set, uint32_t maxval);
/* True when the text is a valid sequence-set. */
bool seqset_isvalid(const char *text, size_t len);
/* True when a valid text uses "*". */
bool seqset_hasstar(const char *text, size_t len);

/* -- changing -- */
/* Tells whether num is a member. With SEQ_MERGE the numbers must come in rising order. */
void seqset_add(struct seqset *set, uint32_t num, bool ismember);
/* Adds all of low..high. */
void seqset_addrange(struct seqset *set, uint32_t low, uint32_t high);
void seqset_remove(struct seqset *set, uint32_t num);
/* Adds all members of b to a. */
void seqset_join(struct seqset *a, const struct seqset *b);
/* Takes from a whatever is not in b. */
void seqset_intersect(struct seqset *a, const struct seqset *b);
/* Takes the members of b from a. */
void seqset_subtract(struct seqset *a, const struct seqset *b);
/* Empties. */
void seqset_clear(struct seqset *set);

/* -- reading -- */
bool seqset_ismember(const struct seqset *set, uint32_t num);
bool seqset_isempty(const struct seqset *set);
/* Smallest and largest member, 0 when empty. */
uint32_t seqset_first(const struct seqset *set);
uint32_t seqset_last(const struct seqset *set);
/* The smallest number from 1 on that is not a member (0 when all are). */
uint32_t seqset_firstnonmember(const struct seqset *set);
uint64_t seqset_count(const struct seqset *set);
/* The smallest member above num, or 0. No state; any number of walks at a time. */
uint32_t seqset_after(const struct seqset *set, uint32_t num);
/* The next member of the walk that seqset_reset began, or 0 at the end. */
uint32_t seqset_getnext(struct seqset *set);
void seqset_reset(struct seqset *set);
bool seqset_equal(const struct seqset *a, const struct seqset *b);

/* Shortest text "1:4,7,9"; the caller frees; NULL when empty. */
char *seqset_cstring(const struct seqset *set);
struct buf;
/* Appends that text, nothing when empty. */
void seqset_appendto(const struct seqset *set, struct buf *dst);

#endif
