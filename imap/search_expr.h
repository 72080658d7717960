/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SEARCH_EXPR_H
#define INCLUDED_SEARCH_EXPR_H
/*
 * search_expr -- SEARCH keys as a tree, and whether a message matches it
 *
 * The keys are parsed once from the stream (RFC 3501 §6.4.4, RFC 9051, RFC 5032
 * WITHIN, RFC 7162 MODSEQ, RFC 8474 EMAILID and THREADID, RFC 8514 SAVEDATE;
 * handbook 04 §3.14), then held against one message after the other. What a term
 * needs beyond the index record comes through a struct search_source, and only
 * when a cheaper term has not decided already: index record, cache record, message
 * file, in this order. So nothing here knows how a mailbox is opened.
 *
 * Texts are compared in search form: decoded, without case, white space as option
 * search_whitespace says, without diacritics if option search_skipdiacrit is on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "conv_codec.h"
#include "index.h" /* struct index_message */
#include "mailbox_index.h"
#include "mbname_forms.h"
#include "strarray.h"

struct protstream;
struct search_expr;

/* ---- what a command says ---- */

/* What the parser needs to know. */
struct search_syntax {
    bool conversations;          /* CONVFLAG, CONVREAD ... are keys */
    const char *no_numbers;      /* text of the BAD that message numbers get; NULL: they are allowed */
    const char *default_charset; /* of a command without CHARSET; NULL: US-ASCII */
    const char *no_charset;      /* text of the BAD that CHARSET gets; NULL: it is allowed */
    time_t now;                  /* for OLDER and YOUNGER; 0: the clock */
    unsigned charset_flags;      /* CHARSET_*: search_charset_flags() */
    /* The first word of the keys, when the caller had to take it to see whether it is RETURN, and the
     * byte behind it, taken too; NULL: the stream is at the first key. */
    const char *word;
    int after;
    /* Internal name of the mailbox in FOLDER, in buf; false: there is none. NULL: no FOLDER key. */
    bool (*folder)(void *rock, extname_t external, struct buf *internal);
    void *rock;
};
/* CHARSET_* as options search_skipdiacrit, search_whitespace, search_skiphtml, rfc2047_utf8 say. */
unsigned search_charset_flags(void);

/*
 * Read `[CHARSET c] key ...` up to the end of the keys. `charset` (for SORT and THREAD, where it
 * came before): "CHARSET c" is no key then; NULL otherwise.
 *
 * Returns the byte that follows, for the caller to check as after any token (imparse.h), or a
 * negative imparse result. With IMPARSE_BAD *error is the text of the BAD answer, as 3.6.1 has
 * it, and the caller skips the line. *exprp is set only on success.
 */
int search_parse(struct protstream *in, struct protstream *out, const struct search_syntax *syntax,
                 const char *charset, struct search_expr **exprp, struct buf *error);
/* The key TEXT with this text, which is UTF-8. */
struct search_expr *search_expr_of_text(const char *text, size_t len, const struct search_syntax *syntax);
/* The key ALL. */
struct search_expr *search_expr_new_all(void);
void search_expr_free(struct search_expr **exprp); /* NULL is fine */
/*
 * For a search that goes on: message numbers become the UIDs that they are in the view now, and "$" those that it is now (NULL:
 * none). "n:*" goes on to have no end.
 */
void search_expr_settle(struct search_expr *expr, const struct index_state *state, const struct seqset *saved);

/* Does a key say MODSEQ? Then the answer ends with the greatest MODSEQ of what was found. */
bool search_uses_modseq(const struct search_expr *expr);
/* Is a callback needed at all? */
bool search_uses_conversations(const struct search_expr *expr);
/* The tree as text, for logs and tests: `(and (seen) (not (from "x")))`. */
void search_expr_print(const struct search_expr *expr, struct buf *dst);

/* ---- where the data comes from ---- */

/*
 * One mailbox under its lock. Functions return 0 or an imap_err code, logged by them: such a
 * message is then not found by a search that needs the data. Views stay until the next call for another
 * message.
 */
struct search_source {
    void *rock;
    const char *mboxname;        /* internal, for FOLDER */
    const strarray_t *flagnames; /* slot -> name or NULL */
    uint32_t exists;             /* what '*' is among message numbers */
    bool utf8;                   /* headers may be UTF-8, whatever rfc2047_utf8 says (RFC 6855) */
    uint32_t last_uid;           /* of the last message; what '*' is among UIDs */
    const struct seqset *only;   /* message numbers that are looked at; NULL: all */
    const struct seqset *saved;  /* what "$" is: UIDs (RFC 5182); NULL: nothing */
    int (*cache)(void *rock, const struct index_record *rec, struct buf *view);
    /* The message file; buf_free ends it. */
    int (*message)(void *rock, const struct index_record *rec, struct buf *bytes);
    /* value.shared or value.priv of the session's user; no value: 0 and an empty buf. NULL: none. */
    int (*annotation)(void *rock, const struct index_record *rec, const char *entry, bool shared,
                      struct buf *value);
    /* The B record; *conv NULL: none. Borrowed until the next call. NULL: no conversations. */
    int (*conversation)(void *rock, conversation_id_t cid, const struct conversation **conv);
    /* Told between batches how far a search is; NULL: nobody listens. */
    void (*progress)(void *rock, uint32_t done, uint32_t total);
    void *progress_rock;
    /* Counted flags of conversations: index into struct conversation's counts. */
    const strarray_t *counted_flags;
    /* UIDs of messages that an answer lacks as what it needs of them can't be read; NULL: nobody asks. */
    struct seqset *unread;
};

/* ---- does it match? ---- */

struct search_run;
/* Both are borrowed. Sequence sets get their meaning here. */
struct search_run *search_begin(struct search_expr *expr, const struct search_source *source);
void search_end(struct search_run **runp);
/*
 * Message numbers that may match as far as sequence sets and UIDs tell (the view's UIDs rise):
 * others need not be looked at. The caller frees. NULL: all may.
 */
struct seqset *search_candidates(const struct search_run *run, const struct index_state *state);
/*
 * Does this message match? msg is the record as the session sees it (index_fill_message). A
 * message whose data can't be read does not, and is noted in source->unread.
 */
void search_note_unread(const struct search_source *source, uint32_t uid);
bool search_match(struct search_run *run, const struct index_record *rec,
                  const struct index_message *msg);

#endif
