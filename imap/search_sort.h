/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEARCH_SORT_H
#define INCLUDED_SEARCH_SORT_H
/*
 * search_sort -- messages in the order of SORT criteria (RFC 5256, RFC 5957; handbook 04 §3.15)
 *
 * Keys are taken from index and cache records when a message is added, so nothing
 * is read while they are compared. Ties are broken by UID.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "search_expr.h"

struct sort_criteria;
/*
 * Read `(criteria)`. As search_parse(): the byte that follows or a negative imparse result, with
 * IMPARSE_BAD *error is the text.
 */
int sort_criteria_parse(struct protstream *in, struct protstream *out,
                        const struct search_syntax *syntax, struct sort_criteria **critp,
                        struct buf *error);
/* Is the conversation callback needed at all? */
bool sort_uses_conversations(const struct sort_criteria *crit);
/* Do the values of a message stay what they are? */
bool sort_is_lasting(const struct sort_criteria *crit);
void sort_criteria_free(struct sort_criteria **critp); /* NULL is fine */

struct search_sorter;
struct search_sorter *search_sorter_new(const struct sort_criteria *crit,
                                        const struct search_source *source);
/* Where a message whose data can't be read stands can't be told: it is left out, and noted in source->unread. */
void search_sorter_add(struct search_sorter *sorter, const struct index_record *rec,
                       const struct index_message *msg);
struct sorted_message {
    uint32_t msgno, uid;
};
/* All that were added, in order; the caller frees. *count: how many. The sorter is empty then. */
struct sorted_message *search_sorter_finish(struct search_sorter *sorter, size_t *count);
void search_sorter_free(struct search_sorter **sorterp);

#endif
