/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_INDEX_SEARCH_H
#define INCLUDED_INDEX_SEARCH_H
/*
 * index_search -- the messages of the selected mailbox that match a search
 */
#include "index.h"
#include "search_expr.h"

/* Called in the order of message numbers, without a lock. source: what the search reads from, for sorters. */
typedef void index_search_cb(const struct index_record *rec, const struct index_message *msg,
                             void *rock);
/*
 * What the search reads messages from; borrowed by *source until index_search_end(), which is called in any
 * case. conversations: keys or criteria look at them.
 */
int index_search_source(struct index_state *st, bool conversations, struct search_source *source);
void index_search_end(struct index_state *st);
/*
 * Holds the expression against every message of the view. IMAP_SEARCH_SLOW: longer than search_maxtime;
 * what was found so far has been called for. Messages that could not be looked at are in source->unread; once nothing more
 * is read, index_search_settle() takes from it those that have gone meanwhile, which is why they could not be read.
 */
int index_search(struct index_state *st, struct search_expr *expr,
                 const struct search_source *source, index_search_cb *cb, void *rock);
int index_search_settle(struct index_state *st, const struct search_source *source);

#endif
