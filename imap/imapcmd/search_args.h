/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEARCH_ARGS_H
#define INCLUDED_SEARCH_ARGS_H
/*
 * search_args -- what SEARCH, SORT and THREAD have in common: their keys
 */
#include "imap_session.h"
#include "search_expr.h"

struct search_keys {
    struct search_syntax syntax;
    struct buf word;    /* the first one of the keys, when it had to be read */
    struct buf charset; /* SORT, THREAD */
    struct search_expr *expr;
};
void search_keys_init(struct imap_session *s, struct search_keys *keys);
void search_keys_fini(struct search_keys *keys);
/* Behind a blank: an astring and a blank. False: answered, BAD Missing charset. */
bool search_keys_charset(struct imap_session *s, struct search_keys *keys);
/* The keys to the end of the line. charset NULL: they may begin with CHARSET. False: answered. */
bool search_keys_parse(struct imap_session *s, struct search_keys *keys, const char *charset);
/*
 * The end of a search: OK with the number of messages found, or NO with what failed. UIDs in unread (may be NULL) are of messages that are
 * not in the answer as they could not be read: NO, with a text that names them.
 */
void search_answer(struct imap_session *s, int r, size_t found, const struct seqset *unread);
/* Answers BAD with the text when s->c says that a parser failed: false. */
bool search_parsed(struct imap_session *s, struct buf *error);

#endif
