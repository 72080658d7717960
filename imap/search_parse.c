/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_parse -- SEARCH keys from the stream
 *
 * A table says what arguments a key has; a function for each kind of argument reads
 * them. Functions return the byte that follows, as all token readers do, or a
 * negative result with the text of the BAD answer in place. Texts are in 3.6.1's words.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "imparse.h"
#include "prot.h"
#include "search_int.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"

/* Keys inside of keys. */
#define MAX_DEPTH 1000

struct parser {
    struct protstream *in, *out;
    const struct search_syntax *syntax;
    charset_t charset;
    struct buf *error;
    struct buf token;
    char keyname[40]; /* lower case, for messages */
    unsigned depth;
};

/* c: the byte that was taken behind the last token; it goes back for the caller to skip. */
static int bad(struct parser *p, int c, const char *text)
{
    if (c >= 0) prot_ungetc(c, p->in);
    if (!p->error->len) buf_setcstr(p->error, text);
    return IMPARSE_BAD;
}

static int bad_argument(struct parser *p, int c)
{
    if (c >= 0) prot_ungetc(c, p->in);
    if (!p->error->len) buf_printf(p->error, "Missing required argument to Search %s", p->keyname);
    return IMPARSE_BAD;
}

static int get_text(struct parser *p)
{
    int c = getastring(p->in, p->out, &p->token);

    return c == IMPARSE_BAD ? bad_argument(p, c) : c;
}

/* ---- one function a kind of argument; the blank in front has been taken ---- */

typedef int arg_fn(struct parser *p, struct search_expr *e);

/* token becomes the pattern in search form. */
static void set_pattern(struct parser *p, struct search_expr *e)
{
    static const char replacement[] = "\xef\xbf\xbd";

    charset_convert(p->token.s, p->token.len, p->charset,
                    p->syntax->charset_flags & ~CHARSET_SKIPHTML, &e->text);
    /* Bytes that are no text are in no text. */
    e->no_text = e->text.len && memmem(e->text.s, e->text.len, replacement, 3);
}

static int read_text(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);

    if (c >= 0) set_pattern(p, e);
    return c;
}

static int read_header(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);

    if (c < 0) return c;
    if (c != ' ') return bad_argument(p, c);
    e->name = buf_newcstring(&p->token);
    e->cost = SEARCH_COST_MESSAGE;
    if (mailbox_cached_header(e->name, strlen(e->name)) != BIT32_MAX_CACHE_VERSION)
        e->cost = SEARCH_COST_CACHE;
    return read_text(p, e);
}

/* A day in the zone of the server: [from, to). */
static int read_date(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);
    time_t t;

    if (c < 0) return c;
    if (time_from_rfc3501_date(p->token.s, p->token.len, &t))
        return bad(p, c, "Invalid date in Search command");
    e->from = time_local_midnight(t, 0);
    e->to = time_local_midnight(t + 86400, 0);
    return c;
}

static int read_number(struct parser *p, struct search_expr *e)
{
    uint32_t n;
    int c = getuint32(p->in, &n);

    if (c == IMPARSE_BAD) return bad(p, c, "Invalid number in Search command");
    e->number = n;
    return c;
}

static int read_number64(struct parser *p, struct search_expr *e)
{
    int c = getmodseq(p->in, &e->number);

    return c == IMPARSE_BAD ? bad(p, c, "Invalid number in Search command") : c;
}

static int read_interval(struct parser *p, struct search_expr *e)
{
    uint32_t n;
    int c = getuint32(p->in, &n);

    if (c == IMPARSE_BAD) return bad(p, c, "Invalid interval in Search command");
    e->from = (p->syntax->now ? p->syntax->now : time(NULL)) - (time_t)n;
    return c;
}

static int read_flag(struct parser *p, struct search_expr *e)
{
    int c = getword(p->in, &e->text);

    if (c < 0) return c == IMPARSE_BAD ? bad_argument(p, c) : c;
    if (!imparse_isatom(buf_cstring(&e->text))) {
        prot_ungetc(c, p->in);
        buf_printf(p->error, "Invalid flag name %s in Search command", buf_cstring(&e->text));
        return IMPARSE_BAD;
    }
    return c;
}

/* "$", what an earlier SEARCH has saved (RFC 5182). */
static bool is_saved(const char *s)
{
    return s[0] == '$' && !s[1];
}

static int read_sequence(struct parser *p, struct search_expr *e)
{
    int c = getword(p->in, &e->text);

    if (c >= 0 && !is_saved(buf_cstring(&e->text)) && !imparse_issequence(buf_cstring(&e->text)))
        return bad(p, c, "Invalid Search criteria");
    return c;
}

/* MODSEQ [entry-name entry-type] number: 3.6.1 has one modseq for all flags. */
static int read_modseq(struct parser *p, struct search_expr *e)
{
    if (prot_peek(p->in) == '"') {
        int c = getqstring(p->in, &p->token);

        if (c == IMPARSE_BAD || (c >= 0 && c != ' ')) return bad_argument(p, c);
        if (c >= 0) c = getword(p->in, &p->token);
        if (c >= 0 && (c != ' ' || !p->token.len)) return bad_argument(p, c);
        if (c < 0) return c;
    }
    return read_number64(p, e);
}

static const struct {
    const char *name;
    bool shared, priv;
} attribs[] = {
    { "value", true, true },
    { "value.shared", true, false },
    { "value.priv", false, true },
};

static int read_annotation(struct parser *p, struct search_expr *e)
{
    bool isnil, found = false;
    int c = getastring(p->in, p->out, &p->token);

    if (c >= 0 && (c != ' ' || *buf_cstring(&p->token) != '/'))
        c = bad(p, c, "Invalid Search criteria");
    if (c >= 0) {
        e->name = buf_newcstring(&p->token);
        c = getastring(p->in, p->out, &p->token);
    }
    for (size_t i = 0; c == ' ' && i < array_size(attribs); i++) {
        if (cyr_strcasecmp(buf_cstring(&p->token), attribs[i].name)) continue;
        e->shared = attribs[i].shared;
        e->priv = attribs[i].priv;
        found = true;
    }
    if (c >= 0 && !found) c = bad(p, c, "Invalid Search criteria");
    if (c >= 0) c = getnastring(p->in, p->out, &p->token, &isnil);
    if (c == IMPARSE_BAD) return bad(p, c, "Invalid Search criteria");
    if (c >= 0 && !isnil) set_pattern(p, e);
    return c;
}

static int read_string(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);

    if (c >= 0) buf_copy(&e->text, &p->token);
    return c;
}

static int read_cid(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);
    conversation_id_t cid;

    if (c < 0) return c;
    if (!conversation_id_decode(p->token.s, p->token.len, &cid))
        return bad(p, c, "Invalid number in Search command");
    e->number = cid;
    return c;
}

static int read_folder(struct parser *p, struct search_expr *e)
{
    int c = get_text(p);

    if (c < 0) return c;
    if (!p->syntax->folder || !p->syntax->folder(p->syntax->rock, extname_of(buf_cstring(&p->token)), &e->text))
        e->no_text = true;
    return c;
}

static int read_key(struct parser *p, struct search_expr *parent);

static int read_not(struct parser *p, struct search_expr *e)
{
    e->op = SEARCH_NOT;
    return read_key(p, e);
}

static int read_or(struct parser *p, struct search_expr *e)
{
    int c;

    e->op = SEARCH_OR;
    c = read_key(p, e);
    if (c >= 0 && c != ' ') return bad_argument(p, c);
    return c < 0 ? c : read_key(p, e);
}

static int read_fuzzy(struct parser *p, struct search_expr *e)
{
    e->op = SEARCH_AND;
    return read_key(p, e);
}

static arg_fn *const arg_fns[] = {
    [SEARCH_ARG_TEXT] = read_text,         [SEARCH_ARG_HEADER] = read_header,
    [SEARCH_ARG_DATE] = read_date,         [SEARCH_ARG_NUMBER] = read_number,
    [SEARCH_ARG_INTERVAL] = read_interval, [SEARCH_ARG_FLAG] = read_flag,
    [SEARCH_ARG_SEQUENCE] = read_sequence, [SEARCH_ARG_MODSEQ] = read_modseq,
    [SEARCH_ARG_NUMBER64] = read_number64, [SEARCH_ARG_ANNOTATION] = read_annotation,
    [SEARCH_ARG_ID] = read_string,         [SEARCH_ARG_CID] = read_cid,
    [SEARCH_ARG_FOLDER] = read_folder,     [SEARCH_ARG_STRING] = read_string,
    [SEARCH_ARG_NOT] = read_not,           [SEARCH_ARG_OR] = read_or,
    [SEARCH_ARG_FUZZY] = read_fuzzy,
};

/* ---- keys ---- */

static const struct search_key *lookup(const struct parser *p, const char *name)
{
    for (const struct search_key *key = search_keys; key->name; key++) {
        if (cyr_strcasecmp(name, key->name)) continue;
        if (key->conversations && !p->syntax->conversations) return NULL;
        return key;
    }
    return NULL;
}

/* Hangs e, or its negation, below the parent. */
static void hang(struct search_expr *parent, struct search_expr *e)
{
    if (e->op == SEARCH_TERM && e->key->negate) {
        struct search_expr *not = search_expr_new(SEARCH_NOT);

        search_expr_add(not, e);
        e = not ;
    }
    search_expr_add(parent, e);
}

/* A key whose name was read, c behind it. */
static int read_named(struct parser *p, const char *name, int c, struct search_expr *parent)
{
    const struct search_key *key = lookup(p, name);
    struct search_expr *e;

    if (!key) return bad(p, c, "Invalid Search criteria");
    snprintf(p->keyname, sizeof(p->keyname), "%s", key->name);
    lcase(p->keyname);
    if (key->arg != SEARCH_ARG_NONE && c != ' ') return bad_argument(p, c);

    e = search_expr_new(SEARCH_TERM);
    e->key = key;
    e->cost = key->cost;
    if (key->arg != SEARCH_ARG_NONE) c = arg_fns[key->arg](p, e);
    if (c < 0)
        search_expr_free(&e);
    else
        hang(parent, e);
    return c;
}

static bool is_sequence(const char *s)
{
    return cyr_isdigit(*s) || *s == '*' || is_saved(s);
}

static int read_numbers(struct parser *p, const char *text, int c, struct search_expr *parent)
{
    struct search_expr *e;

    if (!is_saved(text) && !imparse_issequence(text)) return bad(p, c, "Invalid Search criteria");
    if (!is_saved(text) && p->syntax->no_numbers) return bad(p, c, p->syntax->no_numbers);
    e = search_expr_new(SEARCH_TERM);
    e->key = is_saved(text) ? lookup(p, "UID") : &search_sequence_key;
    buf_setcstr(&e->text, text);
    hang(parent, e);
    return c;
}

static int read_keys(struct parser *p, struct search_expr *parent);

/* Behind the parenthesis. */
static int read_list(struct parser *p, struct search_expr *parent)
{
    struct search_expr *e = search_expr_new(SEARCH_AND);
    int c = read_keys(p, e);

    if (c >= 0 && c != ')') c = bad(p, c, "Missing required close paren in Search command");
    if (c < 0) {
        search_expr_free(&e);
        return c;
    }
    search_expr_add(parent, e);
    return prot_getc(p->in);
}

static int read_word_or_list(struct parser *p, const char *word, int c, struct search_expr *parent)
{
    int r;

    if (!*word && c != '(') return bad(p, c, "Invalid Search criteria");
    if (p->depth >= MAX_DEPTH) return bad(p, c, "Invalid Search criteria");
    p->depth++;
    if (!*word)
        r = read_list(p, parent);
    else if (is_sequence(word))
        r = read_numbers(p, word, c, parent);
    else
        r = read_named(p, word, c, parent);
    p->depth--;
    return r;
}

static int read_key(struct parser *p, struct search_expr *parent)
{
    struct buf word = BUF_INITIALIZER;
    int c = getword(p->in, &word);

    if (c == IMPARSE_BAD) c = bad(p, c, "Invalid Search criteria");
    if (c >= 0) {
        /* A key behind NOT or OR that is not there. */
        if (!buf_len(&word) && (c == '\r' || c == '\n') && p->depth && *p->keyname)
            c = bad_argument(p, c);
        else
            c = read_word_or_list(p, buf_cstring(&word), c, parent);
    }
    buf_free(&word);
    return c;
}

static int read_keys(struct parser *p, struct search_expr *parent)
{
    int c;

    p->keyname[0] = '\0';
    do {
        c = read_key(p, parent);
    } while (c == ' ');
    return c;
}

/* ---- the whole ---- */

static int set_charset(struct parser *p, int c, const char *name)
{
    charset_free(&p->charset);
    p->charset = charset_lookupname(name, strlen(name));
    return p->charset ? 0 : bad(p, c, "Unrecognized character set");
}

/* Behind the word CHARSET, c after it. */
static int read_charset(struct parser *p, int c)
{
    if (p->syntax->no_charset) return bad(p, c, p->syntax->no_charset);
    if (c == ' ') c = getastring(p->in, p->out, &p->token);
    if (c < 0 && c != IMPARSE_BAD) return c;
    if (c != ' ') return bad(p, c, "Missing charset");
    return set_charset(p, c, buf_cstring(&p->token));
}

static int read_all(struct parser *p, bool charset_known, struct search_expr *top)
{
    const struct search_syntax *syntax = p->syntax;
    struct buf word = BUF_INITIALIZER;
    int c = syntax->after;

    if (syntax->word)
        buf_setcstr(&word, syntax->word);
    else
        c = getword(p->in, &word);
    if (c == IMPARSE_BAD) c = bad(p, c, "Invalid Search criteria");
    if (c >= 0 && !charset_known && !cyr_strcasecmp(buf_cstring(&word), "CHARSET")) {
        c = read_charset(p, c);
        if (!c) c = read_keys(p, top);
    }
    else if (c >= 0) {
        c = read_word_or_list(p, buf_cstring(&word), c, top);
        if (c == ' ') c = read_keys(p, top);
    }
    buf_free(&word);
    return c;
}

int search_parse(struct protstream *in, struct protstream *out, const struct search_syntax *syntax,
                 const char *charset, struct search_expr **exprp, struct buf *error)
{
    struct parser p = { .in = in, .out = out, .syntax = syntax, .error = error };
    struct search_expr *top = search_expr_new(SEARCH_AND);
    const char *first = charset                   ? charset
                        : syntax->default_charset ? syntax->default_charset
                                                  : "US-ASCII";
    int c;

    buf_reset(error);
    c = set_charset(&p, IMPARSE_BAD, first);
    if (!c) c = read_all(&p, charset != NULL, top);
    charset_free(&p.charset);
    buf_free(&p.token);
    if (c < 0)
        search_expr_free(&top);
    else
        *exprp = top;
    return c;
}

struct search_expr *search_expr_of_text(const char *text, size_t len, const struct search_syntax *syntax)
{
    struct parser p = { .syntax = syntax, .charset = charset_lookupname("UTF-8", 5) };
    struct search_expr *e = search_expr_new(SEARCH_TERM);

    e->key = lookup(&p, "TEXT");
    e->cost = e->key->cost;
    buf_setmap(&p.token, text, len);
    set_pattern(&p, e);
    charset_free(&p.charset);
    buf_free(&p.token);
    return e;
}
