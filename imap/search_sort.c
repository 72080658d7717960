/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_sort -- messages in the order of SORT criteria (RFC 5256 §3, RFC 5957)
 *
 * A table says what a criterion takes from a message: a number, or a text in the form
 * in which texts are compared (folded, then ASCII upper case as RFC 5051 orders it).
 * Texts live in one arena, which is freed with the sorter.
 */
#include <config.h>

#include "search_sort.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "imparse.h"
#include "message_arena.h"
#include "message_cache.h"
#include "message_conv.h"
#include "message_header.h"
#include "prot.h"
#include "util.h"
#include "xmalloc.h"

#define MAX_CRITERIA 100

struct value {
    int64_t number;
    struct msgtext text;
};

/* A message whose criteria are being taken. */
struct subject {
    struct search_sorter *sorter;
    const struct index_record *rec;
    const struct index_message *msg;
    bool have_cache, cache_good, envelope_good;
    bool failed; /* data can't be read */
    struct buf view;
    struct cacherecord cache;
    struct msgtext envelope[NUM_ENVELOPE_TOKENS];
};

struct criterion;
typedef void take_fn(struct subject *s, const struct criterion *c, struct value *v);

enum sort_arg { SORT_ARG_NONE, SORT_ARG_FLAG, SORT_ARG_ANNOTATION };

struct sort_kind {
    const char *name;
    take_fn *take;
    int param; /* what take makes of it */
    enum sort_arg arg;
    bool conversations;
};

struct criterion {
    const struct sort_kind *kind;
    bool reverse;
    char *name; /* of a flag or annotation */
    bool shared;
};

struct sort_criteria {
    struct criterion *c;
    size_t n;
};

struct item {
    struct sorted_message message;
    struct value *values;
};

struct search_sorter {
    const struct sort_criteria *crit;
    const struct search_source *source;
    struct message_arena *arena;
    struct item *items;
    size_t n, alloc;
};

/* ---- data of a message ---- */

static bool load_cache(struct subject *s)
{
    const struct search_source *source = s->sorter->source;

    if (s->have_cache) return s->cache_good;
    s->have_cache = true;
    s->cache_good = source->cache && !source->cache(source->rock, s->rec, &s->view) &&
                    !cacherecord_parse(s->view.s, s->view.len, &s->cache);
    s->envelope_good = s->cache_good && !cacheitem_parse_envelope(
                                            cacheitem_base(&s->cache, CACHE_ENVELOPE),
                                            cacheitem_size(&s->cache, CACHE_ENVELOPE), s->envelope);
    if (source->cache && !s->envelope_good) s->failed = true;
    return s->cache_good;
}

static void set_text(struct subject *s, const struct buf *text, struct value *v)
{
    struct buf form = BUF_INITIALIZER;

    charset_utf8_to_searchform(text->s, text->len, CHARSET_MERGESPACE, &form);
    buf_ucase(&form);
    if (form.len) v->text = message_arena_text(s->sorter->arena, form.s, form.len);
    buf_free(&form);
}

/* ---- criteria ---- */

enum { INDEX_ARRIVAL, INDEX_DATE, INDEX_SIZE, INDEX_MODSEQ, INDEX_UID };

static void take_index(struct subject *s, const struct criterion *c, struct value *v)
{
    const struct index_record *rec = s->rec;

    switch (c->kind->param) {
    case INDEX_ARRIVAL: v->number = rec->internaldate; break;
    case INDEX_DATE: v->number = rec->gmtime ? rec->gmtime : rec->internaldate; break;
    case INDEX_SIZE: v->number = rec->size; break;
    case INDEX_MODSEQ: v->number = (int64_t)rec->modseq; break;
    case INDEX_UID: v->number = rec->uid; break;
    }
}

/* All messages of a mailbox have the same. */
static void take_nothing(struct subject *s, const struct criterion *c, struct value *v)
{
    (void)s;
    (void)c;
    (void)v;
}

static void take_subject(struct subject *s, const struct criterion *c, struct value *v)
{
    struct buf base = BUF_INITIALIZER;
    struct msgtext subject;

    (void)c;
    if (!load_cache(s) ||
        cacheitem_parse_nstring(cacheitem_base(&s->cache, CACHE_SUBJECT),
                                cacheitem_size(&s->cache, CACHE_SUBJECT), &subject))
        return;
    message_base_subject(subject.s ? subject.s : "", subject.len, &base);
    set_text(s, &base, v);
    buf_free(&base);
}

static bool first_address(struct subject *s, int field, struct rfc822_address *addr)
{
    struct msgtext list;

    if (!load_cache(s) || !s->envelope_good) return false;
    list = s->envelope[field];
    return cacheitem_next_address(&list, addr);
}

static void take_mailbox(struct subject *s, const struct criterion *c, struct value *v)
{
    struct rfc822_address addr;
    struct buf text = BUF_INITIALIZER;

    if (!first_address(s, c->kind->param, &addr)) return;
    buf_init_ro(&text, addr.mailbox.s, addr.mailbox.len);
    set_text(s, &text, v);
}

static void take_display(struct subject *s, const struct criterion *c, struct value *v)
{
    struct rfc822_address addr;
    struct buf text = BUF_INITIALIZER;

    if (!first_address(s, c->kind->param, &addr)) return;
    if (addr.name.len) {
        charset_decode_mimeheader(addr.name.s, addr.name.len, true, &text);
    }
    else {
        buf_appendmap(&text, addr.mailbox.s, addr.mailbox.len);
        if (addr.domain.s) buf_putc(&text, '@');
        buf_appendmap(&text, addr.domain.s, addr.domain.len);
    }
    set_text(s, &text, v);
    buf_free(&text);
}

static void take_hasflag(struct subject *s, const struct criterion *c, struct value *v)
{
    const strarray_t *names = s->sorter->source->flagnames;
    uint32_t bit = index_system_flag_bit(c->name);
    int slot = names && !bit ? strarray_find_case(names, c->name, 0) : -1;

    if (bit)
        v->number = (s->msg->system_flags & bit) != 0;
    else if (slot >= 0)
        v->number = s->msg->user_flags[slot / 32] >> (slot % 32) & 1;
}

static void take_annotation(struct subject *s, const struct criterion *c, struct value *v)
{
    const struct search_source *source = s->sorter->source;
    struct buf text = BUF_INITIALIZER;

    if (source->annotation && source->annotation(source->rock, s->rec, c->name, c->shared, &text))
        s->failed = true;
    else
        set_text(s, &text, v);
    buf_free(&text);
}

/* Hundredths. */
static void take_spamscore(struct subject *s, const struct criterion *c, struct value *v)
{
    struct header_field field;
    double score;
    char *text;

    (void)c;
    if (!load_cache(s) ||
        !message_header_find(cacheitem_base(&s->cache, CACHE_HEADERS),
                             cacheitem_size(&s->cache, CACHE_HEADERS), "X-Spam-score", &field))
        return;
    text = xstrndup(field.value.s, cyr_min(field.value.len, (size_t)40));
    score = strtod(text, NULL);
    free(text);
    if (score > -1e12 && score < 1e12) v->number = (int64_t)(score * 100);
}

enum { CONV_MODSEQ, CONV_EXISTS, CONV_SIZE, CONV_FLAG };

static void take_conversation(struct subject *s, const struct criterion *c, struct value *v)
{
    const struct search_source *source = s->sorter->source;
    const struct conversation *conv = NULL;
    int slot;

    if (!source->conversation || !s->rec->cid) return;
    if (source->conversation(source->rock, s->rec->cid, &conv)) s->failed = true;
    if (s->failed || !conv) return;
    switch (c->kind->param) {
    case CONV_MODSEQ: v->number = (int64_t)conv->modseq; break;
    case CONV_EXISTS: v->number = conv->exists; break;
    case CONV_SIZE: v->number = (int64_t)conv->size; break;
    case CONV_FLAG:
        slot = source->counted_flags ? strarray_find_case(source->counted_flags, c->name, 0) : -1;
        v->number = slot >= 0 && (size_t)slot < conv->ncounts && conv->counts[slot];
        break;
    }
}

static const struct sort_kind kinds[] = {
    { "ARRIVAL", take_index, INDEX_ARRIVAL, SORT_ARG_NONE, false },
    { "CC", take_mailbox, ENV_CC, SORT_ARG_NONE, false },
    { "DATE", take_index, INDEX_DATE, SORT_ARG_NONE, false },
    { "DISPLAYFROM", take_display, ENV_FROM, SORT_ARG_NONE, false },
    { "DISPLAYTO", take_display, ENV_TO, SORT_ARG_NONE, false },
    { "FROM", take_mailbox, ENV_FROM, SORT_ARG_NONE, false },
    { "SIZE", take_index, INDEX_SIZE, SORT_ARG_NONE, false },
    { "SUBJECT", take_subject, 0, SORT_ARG_NONE, false },
    { "TO", take_mailbox, ENV_TO, SORT_ARG_NONE, false },
    { "ANNOTATION", take_annotation, 0, SORT_ARG_ANNOTATION, false },
    { "FOLDER", take_nothing, 0, SORT_ARG_NONE, false },
    { "HASFLAG", take_hasflag, 0, SORT_ARG_FLAG, false },
    { "MODSEQ", take_index, INDEX_MODSEQ, SORT_ARG_NONE, false },
    { "RELEVANCY", take_nothing, 0, SORT_ARG_NONE, false },
    { "SPAMSCORE", take_spamscore, 0, SORT_ARG_NONE, false },
    { "UID", take_index, INDEX_UID, SORT_ARG_NONE, false },
    { "CONVEXISTS", take_conversation, CONV_EXISTS, SORT_ARG_NONE, true },
    { "CONVMODSEQ", take_conversation, CONV_MODSEQ, SORT_ARG_NONE, true },
    { "CONVSIZE", take_conversation, CONV_SIZE, SORT_ARG_NONE, true },
    { "HASCONVFLAG", take_conversation, CONV_FLAG, SORT_ARG_FLAG, true },
};

/* ---- parsing ---- */

struct parser {
    struct protstream *in, *out;
    const struct search_syntax *syntax;
    struct sort_criteria *crit;
    struct buf word, *error;
};

static int bad(struct parser *p, int c, const char *text)
{
    if (c >= 0) prot_ungetc(c, p->in);
    buf_setcstr(p->error, text);
    return IMPARSE_BAD;
}

static int bad_criterion(struct parser *p, int c, const char *name)
{
    char *lower = lcase(xstrdup(name));

    bad(p, c, "Invalid Sort criterion ");
    buf_appendcstr(p->error, lower);
    free(lower);
    return IMPARSE_BAD;
}

static const struct sort_kind *lookup(const struct parser *p, const char *name)
{
    for (size_t i = 0; i < array_size(kinds); i++) {
        if (cyr_strcasecmp(name, kinds[i].name)) continue;
        return kinds[i].conversations && !p->syntax->conversations ? NULL : &kinds[i];
    }
    return NULL;
}

/* The argument of a criterion, c behind its name. */
static int read_argument(struct parser *p, int c, struct criterion *crit)
{
    if (crit->kind->arg == SORT_ARG_NONE) return c;
    if (c != ' ') return bad_criterion(p, c, crit->kind->name);
    c = getastring(p->in, p->out, &p->word);
    if (c == IMPARSE_BAD) return bad_criterion(p, c, crit->kind->name);
    if (c < 0) return c;
    crit->name = buf_newcstring(&p->word);
    if (crit->kind->arg == SORT_ARG_FLAG) return c;

    if (c != ' ') return bad_criterion(p, c, crit->kind->name);
    c = getastring(p->in, p->out, &p->word);
    if (c >= 0) crit->shared = !cyr_strcasecmp(buf_cstring(&p->word), "value.shared");
    if (c == IMPARSE_BAD ||
        (c >= 0 && !crit->shared && cyr_strcasecmp(buf_cstring(&p->word), "value.priv")))
        return bad_criterion(p, c, crit->kind->name);
    return c;
}

static int read_criterion(struct parser *p)
{
    int c = getword(p->in, &p->word);
    struct criterion *crit;
    bool reverse = false;

    if (c >= 0 && !cyr_strcasecmp(buf_cstring(&p->word), "REVERSE")) {
        reverse = true;
        if (c != ' ') return bad(p, c, "Missing Sort criterion to reverse");
        c = getword(p->in, &p->word);
    }
    if (c < 0) return c == IMPARSE_BAD ? bad(p, c, "Missing Sort criteria") : c;
    if (!p->word.len) return bad(p, c, "Missing Sort criteria");
    if (p->crit->n == MAX_CRITERIA || !lookup(p, buf_cstring(&p->word)))
        return bad_criterion(p, c, buf_cstring(&p->word));

    p->crit->c = xreallocarray(p->crit->c, p->crit->n + 1, sizeof(*p->crit->c));
    crit = &p->crit->c[p->crit->n++];
    *crit = (struct criterion){ .kind = lookup(p, buf_cstring(&p->word)), .reverse = reverse };
    return read_argument(p, c, crit);
}

int sort_criteria_parse(struct protstream *in, struct protstream *out,
                        const struct search_syntax *syntax, struct sort_criteria **critp,
                        struct buf *error)
{
    struct parser p = { .in = in, .out = out, .syntax = syntax, .error = error };
    int c = prot_getc(in);

    buf_reset(error);
    if (c != '(') return c < 0 ? IMPARSE_EOF : bad(&p, c, "Missing Sort criteria");
    p.crit = xzmalloc(sizeof(*p.crit));
    do {
        c = read_criterion(&p);
    } while (c == ' ');
    if (c >= 0) c = c == ')' ? prot_getc(in) : bad(&p, c, "Missing close parenthesis in Sort");
    buf_free(&p.word);
    if (c < 0)
        sort_criteria_free(&p.crit);
    else
        *critp = p.crit;
    return c;
}

bool sort_uses_conversations(const struct sort_criteria *crit)
{
    for (size_t i = 0; i < crit->n; i++)
        if (crit->c[i].kind->conversations) return true;
    return false;
}

bool sort_is_lasting(const struct sort_criteria *crit)
{
    for (size_t i = 0; i < crit->n; i++) {
        const struct sort_kind *kind = crit->c[i].kind;
        if (kind->conversations || kind->take == take_annotation || kind->take == take_hasflag ||
            (kind->take == take_index && kind->param == INDEX_MODSEQ))
            return false;
    }
    return true;
}

void sort_criteria_free(struct sort_criteria **critp)
{
    if (!*critp) return;
    for (size_t i = 0; i < (*critp)->n; i++) free((*critp)->c[i].name);
    free((*critp)->c);
    xzfree(*critp);
}

/* ---- sorting ---- */

struct search_sorter *search_sorter_new(const struct sort_criteria *crit,
                                        const struct search_source *source)
{
    struct search_sorter *sorter = xzmalloc(sizeof(*sorter));

    sorter->crit = crit;
    sorter->source = source;
    sorter->arena = message_arena_new();
    return sorter;
}

void search_sorter_add(struct search_sorter *sorter, const struct index_record *rec,
                       const struct index_message *msg)
{
    struct subject s = { .sorter = sorter, .rec = rec, .msg = msg };
    struct item *item;

    if (sorter->n == sorter->alloc) {
        sorter->alloc = grow_alloc(sorter->alloc, sorter->n + 1);
        sorter->items = xreallocarray(sorter->items, sorter->alloc, sizeof(*sorter->items));
    }
    item = &sorter->items[sorter->n++];
    item->message = (struct sorted_message){ msg->msgno, msg->uid };
    item->values = message_arena_alloc(sorter->arena, sorter->crit->n * sizeof(*item->values));
    for (size_t i = 0; i < sorter->crit->n; i++) {
        const struct criterion *c = &sorter->crit->c[i];

        c->kind->take(&s, c, &item->values[i]);
    }
    if (s.failed) {
        sorter->n--;
        search_note_unread(sorter->source, rec->uid);
    }
    buf_free(&s.view);
}

static int compare_values(const struct value *a, const struct value *b)
{
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    return memcmp_len(a->text.s, a->text.len, b->text.s, b->text.len);
}

static int compare_items(const void *pa, const void *pb, void *rock)
{
    const struct sort_criteria *crit = rock;
    const struct item *a = pa, *b = pb;

    for (size_t i = 0; i < crit->n; i++) {
        int cmp = compare_values(&a->values[i], &b->values[i]);

        if (cmp) return crit->c[i].reverse ? -cmp : cmp;
    }
    return a->message.uid < b->message.uid ? -1 : a->message.uid > b->message.uid;
}

struct sorted_message *search_sorter_finish(struct search_sorter *sorter, size_t *count)
{
    struct sorted_message *sorted = xcalloc(sorter->n + 1, sizeof(*sorted));
    const struct sort_criteria *crit = sorter->crit;

    if (sorter->n > 1)
        qsort_r(sorter->items, sorter->n, sizeof(*sorter->items), compare_items,
                (void *)(uintptr_t)crit);
    for (size_t i = 0; i < sorter->n; i++) sorted[i] = sorter->items[i].message;
    *count = sorter->n;
    sorter->n = 0;
    return sorted;
}

void search_sorter_free(struct search_sorter **sorterp)
{
    if (!*sorterp) return;
    message_arena_free(&(*sorterp)->arena);
    free((*sorterp)->items);
    xzfree(*sorterp);
}
