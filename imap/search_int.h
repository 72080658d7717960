/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEARCH_INT_H
#define INCLUDED_SEARCH_INT_H
/*
 * search_int -- what the files of the search module share
 */
#include "message.h"
#include "message_cache.h"
#include "search_expr.h"
#include "seqset.h"

/* What has to be read for a term; cheap ones are asked first. */
enum search_cost {
    SEARCH_COST_INDEX,
    SEARCH_COST_CONVERSATION,
    SEARCH_COST_ANNOTATION,
    SEARCH_COST_CACHE,
    SEARCH_COST_MESSAGE,
};

enum search_op {
    SEARCH_AND, /* of no children: everything */
    SEARCH_OR,
    SEARCH_NOT,
    SEARCH_TERM,
};

/* How the arguments of a key are read. */
enum search_arg {
    SEARCH_ARG_NONE,
    SEARCH_ARG_TEXT,
    SEARCH_ARG_HEADER,
    SEARCH_ARG_DATE,
    SEARCH_ARG_NUMBER,
    SEARCH_ARG_INTERVAL,
    SEARCH_ARG_FLAG,
    SEARCH_ARG_SEQUENCE,
    SEARCH_ARG_MODSEQ,
    SEARCH_ARG_NUMBER64,
    SEARCH_ARG_ANNOTATION,
    SEARCH_ARG_ID, /* EMAILID, THREADID */
    SEARCH_ARG_CID,
    SEARCH_ARG_FOLDER,
    SEARCH_ARG_STRING, /* a name, not folded */
    SEARCH_ARG_NOT,
    SEARCH_ARG_OR,
    SEARCH_ARG_FUZZY,
};

struct search_run;
typedef bool search_match_fn(struct search_run *run, const struct search_expr *term);

struct search_key {
    const char *name; /* upper case */
    enum search_arg arg;
    enum search_cost cost;
    search_match_fn *match;
    uint32_t param;     /* flag bit, cache item, ...: what match makes of it */
    bool negate;        /* UNSEEN is SEEN negated */
    bool conversations; /* only with conversations */
};
extern const struct search_key search_keys[]; /* ends with name NULL */
extern const struct search_key search_sequence_key;

struct search_expr {
    enum search_op op;
    enum search_cost cost;
    struct search_expr *children, *next;

    const struct search_key *key; /* of a term, as what follows */
    struct buf text;              /* search form; sequence set; name of a folder or flag */
    bool no_text;                 /* text holds what no data holds: matches nothing */
    char *name;                   /* of a header field or annotation */
    uint64_t number;              /* size, modseq, cid; score times 100 */
    time_t from, to;              /* day [from, to), or one point of time in from */
    bool shared, priv;            /* which values of an annotation */

    struct seqset *set; /* what a sequence set means in this run */
    int slot;           /* of the flag in this run; -1: none has it */
};

struct search_expr *search_expr_new(enum search_op op);
void search_expr_add(struct search_expr *parent, struct search_expr *child);

/* ---- one message under evaluation ---- */

struct search_run {
    struct search_expr *expr;
    const struct search_source *source;
    unsigned charset_flags;
    const struct index_record *rec;
    const struct index_message *msg;
    bool failed; /* data can't be read */

    bool have_cache, have_message;
    struct buf cacheview;
    struct cacherecord cache;
    struct buf file;
    struct message_content *content;
};
/* The cache record of the message; NULL: failed. */
const struct cacherecord *search_cache(struct search_run *run);
/* The message file, taken apart; NULL: failed. */
const struct message_content *search_message(struct search_run *run);
void search_forget_message(struct search_run *run);

/* Is the pattern of the term in the search form of UTF-8 text? */
bool search_text_matches(struct search_run *run, const struct search_expr *term, const char *s,
                         size_t len);

/* ---- terms that look at texts (search_text.c) ---- */
search_match_fn search_match_item, search_match_subject, search_match_header, search_match_body,
    search_match_text, search_match_contenttype, search_match_attachmentname,
    search_match_attachmentbody, search_match_listid, search_match_deliveredto, search_match_spam;

#endif
