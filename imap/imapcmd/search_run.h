/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEARCH_RUN_H
#define INCLUDED_SEARCH_RUN_H
/*
 * search_run -- what SEARCH, SORT and ESEARCH have in common: RETURN, what was found, the ESEARCH response
 */
#include "index.h"
#include "search_args.h"

enum {
    RETURN_MIN = 1 << 0,
    RETURN_MAX = 1 << 1,
    RETURN_COUNT = 1 << 2,
    RETURN_ALL = 1 << 3,
    RETURN_RELEVANCY = 1 << 4,
    RETURN_SAVE = 1 << 5,    /* RFC 5182 */
    RETURN_PARTIAL = 1 << 6, /* RFC 9394 */
    RETURN_UPDATE = 1 << 7,  /* RFC 5267, kept in update; CONTEXT is a hint that is not needed */
    RETURN_CONTEXT = 1 << 8,
};

struct sort_criteria;
struct search_args {
    bool esearch; /* RETURN was there */
    unsigned returns;
    bool update; /* RETURN (UPDATE) */
    struct imap_range partial;
    struct search_keys keys;
    struct sort_criteria *crit; /* SORT */
};
/* Behind a blank: RETURN (...), or the first word of what follows, which goes to keys.word. False: answered. */
bool search_parse_return(struct imap_session *s, struct search_args *args);
void search_args_fini(struct search_args *args);

struct search_sorter;
struct hits {
    bool usinguid;
    uint32_t *nums;    /* message numbers or UIDs, in the order of the answer */
    modseq_t *modseqs; /* SEARCH only */
    size_t n, alloc;
    struct search_sorter *sorter;
    modseq_t highest; /* of all; like all that is told, not beyond what the session knows (RFC 7162 §3.1.2.1) */
    modseq_t limit;
    struct seqset *unread; /* UIDs that are not among them as they could not be read; NULL: none */
};
/* Are these all? */
bool hits_complete(const struct hits *hits);
void hits_fini(struct hits *hits);
/* The selected mailbox, or another one that is open; hits->usinguid is set by the caller. */
int search_collect(struct imap_session *s, struct index_state *index, struct search_args *args,
                   struct hits *hits);
/* Calls back for the hits that the answer or "$" consists of: those at the ends and in the range that
 * were asked for, or all (RFC 5182 §2.4, RFC 9394 §3.2). */
void hits_selected(const struct search_args *args, const struct hits *hits,
                   void (*cb)(const struct hits *, size_t, void *), void *rock);
/* They become "$"; of the selected mailbox. */
void search_save(struct imap_session *s, const struct search_args *args, const struct hits *hits);
/* "* ESEARCH (TAG "t") ...", of hits that are not complete without what needs them all; of another mailbox than the selected one with its name (RFC 7377 §2.1). */
void search_print_esearch(struct imap_session *s, const struct search_args *args,
                          const struct hits *hits, extname_t mailbox, uint32_t uidvalidity);

#endif
