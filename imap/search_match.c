/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_match -- does a message match the tree?
 *
 * Data is read at most once a message, and forgotten before the next. When it can't
 * be read the message matches nothing at all: a NOT must not turn a damaged message
 * into a hit.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "search_int.h"
#include "util.h"
#include "xmalloc.h"

/* ---- terms that need the index record only ---- */

static bool match_all(struct search_run *run, const struct search_expr *term)
{
    (void)run;
    (void)term;
    return true;
}

static bool match_system_flag(struct search_run *run, const struct search_expr *term)
{
    return (run->msg->system_flags & term->key->param) != 0;
}

static bool match_keyword(struct search_run *run, const struct search_expr *term)
{
    return term->slot >= 0 && (run->msg->user_flags[term->slot / 32] >> (term->slot % 32) & 1);
}

static bool match_recent(struct search_run *run, const struct search_expr *term)
{
    (void)term;
    return run->msg->recent;
}

static bool match_new(struct search_run *run, const struct search_expr *term)
{
    (void)term;
    return run->msg->recent && !(run->msg->system_flags & FLAG_SEEN);
}

static bool match_msgno(struct search_run *run, const struct search_expr *term)
{
    return seqset_ismember(term->set, run->msg->msgno);
}

static bool match_uid(struct search_run *run, const struct search_expr *term)
{
    return seqset_ismember(term->set, run->msg->uid);
}

static bool match_larger(struct search_run *run, const struct search_expr *term)
{
    return run->rec->size > term->number;
}

static bool match_smaller(struct search_run *run, const struct search_expr *term)
{
    return run->rec->size < term->number;
}

enum { WHEN_INTERNAL, WHEN_SENT, WHEN_SAVED };

static time_t time_of(const struct search_run *run, const struct search_expr *term)
{
    switch (term->key->param) {
    case WHEN_SENT: return run->rec->sentdate;
    case WHEN_SAVED: return run->rec->savedate;
    }
    return run->rec->internaldate;
}

static bool match_before(struct search_run *run, const struct search_expr *term)
{
    return time_of(run, term) < term->from;
}

static bool match_on(struct search_run *run, const struct search_expr *term)
{
    time_t t = time_of(run, term);

    return t >= term->from && t < term->to;
}

static bool match_since(struct search_run *run, const struct search_expr *term)
{
    return time_of(run, term) >= term->from;
}

static bool match_older(struct search_run *run, const struct search_expr *term)
{
    return run->rec->internaldate <= term->from;
}

static bool match_younger(struct search_run *run, const struct search_expr *term)
{
    return run->rec->internaldate >= term->from;
}

static bool match_modseq(struct search_run *run, const struct search_expr *term)
{
    return run->rec->modseq >= term->number;
}

static bool match_cid(struct search_run *run, const struct search_expr *term)
{
    return run->rec->cid == term->number;
}

/* M and the first 24 digits of the guid. */
static bool match_emailid(struct search_run *run, const struct search_expr *term)
{
    char guid[MESSAGE_GUID_STRLEN];

    message_guid_encode(&run->rec->guid, guid);
    return term->text.len == 25 && term->text.s[0] == 'M' && !memcmp(term->text.s + 1, guid, 24);
}

static bool match_threadid(struct search_run *run, const struct search_expr *term)
{
    char cid[CONV_ID_STRLEN];

    if (!run->rec->cid || term->text.len != 17 || term->text.s[0] != 'T') return false;
    conversation_id_encode(run->rec->cid, cid);
    return !memcmp(term->text.s + 1, cid, 16);
}

static bool match_folder(struct search_run *run, const struct search_expr *term)
{
    const char *name = run->source->mboxname;

    return name && term->text.len == strlen(name) && !memcmp(term->text.s, name, term->text.len);
}

/* ---- conversations, annotations ---- */

static const struct conversation *conversation_of(struct search_run *run)
{
    const struct conversation *conv = NULL;

    if (!run->source->conversation || !run->rec->cid) return NULL;
    if (run->source->conversation(run->source->rock, run->rec->cid, &conv)) run->failed = true;
    return conv;
}

static bool match_convflag(struct search_run *run, const struct search_expr *term)
{
    const struct conversation *conv = conversation_of(run);

    return conv && term->slot >= 0 && (size_t)term->slot < conv->ncounts &&
           conv->counts[term->slot];
}

static bool match_convseen(struct search_run *run, const struct search_expr *term)
{
    const struct conversation *conv = conversation_of(run);

    (void)term;
    return conv && !conv->unseen;
}

static bool match_convmodseq(struct search_run *run, const struct search_expr *term)
{
    const struct conversation *conv = conversation_of(run);

    return conv && conv->modseq >= term->number;
}

static bool annotation_matches(struct search_run *run, const struct search_expr *term, bool shared)
{
    struct buf value = BUF_INITIALIZER;
    bool found = false;

    if (run->source->annotation(run->source->rock, run->rec, term->name, shared, &value))
        run->failed = true;
    else
        found = search_text_matches(run, term, value.s, value.len);
    buf_free(&value);
    return found;
}

static bool match_annotation(struct search_run *run, const struct search_expr *term)
{
    if (!term->text.len) return true;
    if (!run->source->annotation) return false;
    return (term->shared && annotation_matches(run, term, true)) ||
           (term->priv && annotation_matches(run, term, false));
}

/* ---- the keys ---- */

/* clang-format off */
#define INDEX SEARCH_COST_INDEX
#define CONV SEARCH_COST_CONVERSATION
#define ANNOT SEARCH_COST_ANNOTATION
#define CACHE SEARCH_COST_CACHE
#define MESSAGE SEARCH_COST_MESSAGE

const struct search_key search_keys[] = {
    { "ALL", SEARCH_ARG_NONE, INDEX, match_all, 0, false, false },
    { "ANSWERED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_ANSWERED, false, false },
    { "BCC", SEARCH_ARG_TEXT, CACHE, search_match_item, CACHE_BCC, false, false },
    { "BEFORE", SEARCH_ARG_DATE, INDEX, match_before, WHEN_INTERNAL, false, false },
    { "BODY", SEARCH_ARG_TEXT, MESSAGE, search_match_body, 0, false, false },
    { "CC", SEARCH_ARG_TEXT, CACHE, search_match_item, CACHE_CC, false, false },
    { "DELETED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_DELETED, false, false },
    { "DRAFT", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_DRAFT, false, false },
    { "FLAGGED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_FLAGGED, false, false },
    { "FROM", SEARCH_ARG_TEXT, CACHE, search_match_item, CACHE_FROM, false, false },
    { "FUZZY", SEARCH_ARG_FUZZY, INDEX, NULL, 0, false, false },
    { "HEADER", SEARCH_ARG_HEADER, MESSAGE, search_match_header, 0, false, false },
    { "KEYWORD", SEARCH_ARG_FLAG, INDEX, match_keyword, 0, false, false },
    { "LARGER", SEARCH_ARG_NUMBER, INDEX, match_larger, 0, false, false },
    { "MODSEQ", SEARCH_ARG_MODSEQ, INDEX, match_modseq, 0, false, false },
    { "NEW", SEARCH_ARG_NONE, INDEX, match_new, 0, false, false },
    { "NOT", SEARCH_ARG_NOT, INDEX, NULL, 0, false, false },
    { "OLD", SEARCH_ARG_NONE, INDEX, match_recent, 0, true, false },
    { "OLDER", SEARCH_ARG_INTERVAL, INDEX, match_older, 0, false, false },
    { "ON", SEARCH_ARG_DATE, INDEX, match_on, WHEN_INTERNAL, false, false },
    { "OR", SEARCH_ARG_OR, INDEX, NULL, 0, false, false },
    { "RECENT", SEARCH_ARG_NONE, INDEX, match_recent, 0, false, false },
    { "SAVEDATESUPPORTED", SEARCH_ARG_NONE, INDEX, match_all, 0, false, false },
    { "SAVEDBEFORE", SEARCH_ARG_DATE, INDEX, match_before, WHEN_SAVED, false, false },
    { "SAVEDON", SEARCH_ARG_DATE, INDEX, match_on, WHEN_SAVED, false, false },
    { "SAVEDSINCE", SEARCH_ARG_DATE, INDEX, match_since, WHEN_SAVED, false, false },
    { "SEEN", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_SEEN, false, false },
    { "SENTBEFORE", SEARCH_ARG_DATE, INDEX, match_before, WHEN_SENT, false, false },
    { "SENTON", SEARCH_ARG_DATE, INDEX, match_on, WHEN_SENT, false, false },
    { "SENTSINCE", SEARCH_ARG_DATE, INDEX, match_since, WHEN_SENT, false, false },
    { "SINCE", SEARCH_ARG_DATE, INDEX, match_since, WHEN_INTERNAL, false, false },
    { "SMALLER", SEARCH_ARG_NUMBER, INDEX, match_smaller, 0, false, false },
    { "SUBJECT", SEARCH_ARG_TEXT, CACHE, search_match_subject, 0, false, false },
    { "TEXT", SEARCH_ARG_TEXT, MESSAGE, search_match_text, 0, false, false },
    { "TO", SEARCH_ARG_TEXT, CACHE, search_match_item, CACHE_TO, false, false },
    { "UID", SEARCH_ARG_SEQUENCE, INDEX, match_uid, 0, false, false },
    { "UNANSWERED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_ANSWERED, true, false },
    { "UNDELETED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_DELETED, true, false },
    { "UNDRAFT", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_DRAFT, true, false },
    { "UNFLAGGED", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_FLAGGED, true, false },
    { "UNKEYWORD", SEARCH_ARG_FLAG, INDEX, match_keyword, 0, true, false },
    { "UNSEEN", SEARCH_ARG_NONE, INDEX, match_system_flag, FLAG_SEEN, true, false },
    { "YOUNGER", SEARCH_ARG_INTERVAL, INDEX, match_younger, 0, false, false },
    /* of extensions */
    { "ANNOTATION", SEARCH_ARG_ANNOTATION, ANNOT, match_annotation, 0, false, false },
    { "EMAILID", SEARCH_ARG_ID, INDEX, match_emailid, 0, false, false },
    { "THREADID", SEARCH_ARG_ID, INDEX, match_threadid, 0, false, false },
    /* of 3.6.1 */
    { "CID", SEARCH_ARG_CID, INDEX, match_cid, 0, false, false },
    { "CONVFLAG", SEARCH_ARG_STRING, CONV, match_convflag, 0, false, true },
    { "CONVMODSEQ", SEARCH_ARG_NUMBER64, CONV, match_convmodseq, 0, false, true },
    { "CONVREAD", SEARCH_ARG_NONE, CONV, match_convseen, 0, false, true },
    { "CONVSEEN", SEARCH_ARG_NONE, CONV, match_convseen, 0, false, true },
    { "CONVUNREAD", SEARCH_ARG_NONE, CONV, match_convseen, 0, true, true },
    { "CONVUNSEEN", SEARCH_ARG_NONE, CONV, match_convseen, 0, true, true },
    { "DELIVEREDTO", SEARCH_ARG_TEXT, MESSAGE, search_match_deliveredto, 0, false, false },
    { "FOLDER", SEARCH_ARG_FOLDER, INDEX, match_folder, 0, false, false },
    { "SPAMABOVE", SEARCH_ARG_NUMBER, CACHE, search_match_spam, 0, false, false },
    { "SPAMBELOW", SEARCH_ARG_NUMBER, CACHE, search_match_spam, 0, true, false },
    { "XATTACHMENTBODY", SEARCH_ARG_TEXT, MESSAGE, search_match_attachmentbody, 0, false, false },
    { "XATTACHMENTNAME", SEARCH_ARG_TEXT, MESSAGE, search_match_attachmentname, 0, false, false },
    { "XCONTENTTYPE", SEARCH_ARG_TEXT, MESSAGE, search_match_contenttype, 0, false, false },
    { "XLISTID", SEARCH_ARG_TEXT, CACHE, search_match_listid, 0, false, false },
    { NULL, SEARCH_ARG_NONE, INDEX, NULL, 0, false, false },
};

/* Message numbers have no name. */
const struct search_key search_sequence_key = { "MSGNO", SEARCH_ARG_SEQUENCE, INDEX, match_msgno, 0, false, false };
/* clang-format on */

/* ---- data ---- */

const struct cacherecord *search_cache(struct search_run *run)
{
    if (run->have_cache) return run->failed ? NULL : &run->cache;
    run->have_cache = true;
    if (!run->source->cache || run->source->cache(run->source->rock, run->rec, &run->cacheview) ||
        cacherecord_parse(run->cacheview.s, run->cacheview.len, &run->cache)) {
        run->failed = true;
        return NULL;
    }
    return &run->cache;
}

const struct message_content *search_message(struct search_run *run)
{
    static const struct message_config defaults = MESSAGE_CONFIG_INITIALIZER;
    struct message_config config = defaults;

    if (run->have_message) return run->content;
    run->have_message = true;
    if (!run->source->message || run->source->message(run->source->rock, run->rec, &run->file)) {
        run->failed = true;
        return NULL;
    }
    config.rfc2047_utf8 = (run->charset_flags & CHARSET_UTF8HEADERS) != 0;
    run->content = message_parse(run->file.s, run->file.len, &config);
    return run->content;
}

void search_forget_message(struct search_run *run)
{
    message_content_free(&run->content);
    buf_free(&run->file);
    run->have_cache = run->have_message = run->failed = false;
}

/* ---- the tree ---- */

static bool matches(struct search_run *run, const struct search_expr *e)
{
    bool want = e->op == SEARCH_OR;

    switch (e->op) {
    case SEARCH_TERM: return !e->no_text && e->key->match(run, e);
    case SEARCH_NOT: return !matches(run, e->children);
    case SEARCH_AND:
    case SEARCH_OR: break;
    }
    for (const struct search_expr *child = e->children; child; child = child->next) {
        if (matches(run, child) == want) return want;
        if (run->failed) return false;
    }
    return !want;
}

void search_note_unread(const struct search_source *source, uint32_t uid)
{
    if (source->unread) seqset_add(source->unread, uid, true);
}

bool search_match(struct search_run *run, const struct index_record *rec,
                  const struct index_message *msg)
{
    bool found;

    run->rec = rec;
    run->msg = msg;
    found = matches(run, run->expr) && !run->failed;
    if (run->failed) search_note_unread(run->source, rec->uid);
    search_forget_message(run);
    return found;
}

/* Sequence sets and flag names of the tree get their meaning. */
static void bind(struct search_expr *e, const struct search_source *source)
{
    for (struct search_expr *child = e->children; child; child = child->next) bind(child, source);
    if (e->op != SEARCH_TERM) return;
    if (e->key->arg == SEARCH_ARG_SEQUENCE) {
        bool uid = e->key->match == match_uid;

        seqset_free(e->set);
        if (buf_cmpcstr(&e->text, "$"))
            e->set = seqset_parse(buf_cstring(&e->text), NULL,
                                  uid ? source->last_uid : source->exists);
        else
            e->set = source->saved ? seqset_dup(source->saved) : NULL;
        if (!e->set) e->set = seqset_init(0, SEQ_SPARSE);
    }
    else if (e->key->match == match_keyword) {
        e->slot = source->flagnames
                      ? strarray_find_case(source->flagnames, buf_cstring(&e->text), 0)
                      : -1;
    }
    else if (e->key->match == match_convflag) {
        e->slot = source->counted_flags
                      ? strarray_find_case(source->counted_flags, buf_cstring(&e->text), 0)
                      : -1;
    }
}

/* A set of message numbers as UIDs; '*' stays what it is. */
static void settle_numbers(const struct index_state *state, const struct seqset *set, struct buf *text)
{
    uint32_t exists = index_exists(state);

    for (size_t i = 0; i < set->len; i++) {
        uint32_t low = set->set[i].low, high = set->set[i].high;
        bool star = high == UINT32_MAX;

        if (low > exists && !star) continue;
        if (buf_len(text)) buf_putc(text, ',');
        if (low == UINT32_MAX)
            buf_putc(text, '*');
        else if (star)
            buf_printf(text, "%" PRIu32 ":*", low <= exists ? index_uid(state, low) : index_uidnext(state));
        else
            buf_printf(text, "%" PRIu32 ":%" PRIu32, index_uid(state, low), index_uid(state, cyr_min(high, exists)));
    }
}

static const struct search_key *uid_key(void)
{
    const struct search_key *key = search_keys;

    while (key->match != match_uid) key++;
    return key;
}

void search_expr_settle(struct search_expr *e, const struct index_state *state, const struct seqset *saved)
{
    struct buf text = BUF_INITIALIZER;

    for (struct search_expr *child = e->children; child; child = child->next) search_expr_settle(child, state, saved);
    if (e->op != SEARCH_TERM || e->key->arg != SEARCH_ARG_SEQUENCE) return;
    if (!buf_cmpcstr(&e->text, "$")) {
        if (saved) seqset_appendto(saved, &text);
    }
    else if (e->key->match == match_uid)
        return;
    else {
        struct seqset *set = seqset_parse(buf_cstring(&e->text), NULL, 0);
        if (set) settle_numbers(state, set, &text);
        seqset_free(set);
    }
    e->key = uid_key();
    e->no_text = !buf_len(&text);
    buf_copy(&e->text, &text);
    buf_free(&text);
}

struct search_run *search_begin(struct search_expr *expr, const struct search_source *source)
{
    struct search_run *run = xzmalloc(sizeof(*run));

    run->expr = expr;
    run->source = source;
    run->charset_flags = search_charset_flags() | (source->utf8 ? CHARSET_UTF8HEADERS : 0);
    bind(expr, source);
    return run;
}

void search_end(struct search_run **runp)
{
    search_forget_message(*runp);
    buf_free(&(*runp)->cacheview);
    xzfree(*runp);
}

struct seqset *search_candidates(const struct search_run *run, const struct index_state *state)
{
    struct seqset *all = run->source->only ? seqset_dup(run->source->only) : NULL;

    for (const struct search_expr *e = run->expr->children; e; e = e->next) {
        struct seqset *set;

        if (e->op != SEARCH_TERM || e->key->arg != SEARCH_ARG_SEQUENCE) continue;
        set = e->key->match == match_uid ? index_msgnos_of(state, e->set) : seqset_dup(e->set);
        if (all) {
            seqset_intersect(all, set);
            seqset_free(set);
        }
        else {
            all = set;
        }
    }
    return all;
}
