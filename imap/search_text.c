/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * search_text -- search terms that look at texts: cached items, header fields, bodies
 *
 * Both sides are compared in search form (charset.h). An empty pattern matches every
 * message that has such a field. BODY is everything below the header of the message
 * that is text: text parts decoded, and the headers of parts and of messages inside;
 * TEXT is that and the header.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "message_header.h"
#include "search_int.h"
#include "util.h"
#include "xmalloc.h"

bool search_text_matches(struct search_run *run, const struct search_expr *term, const char *s,
                         size_t len)
{
    struct buf form = BUF_INITIALIZER;
    bool found;

    if (!term->text.len) return true;
    charset_utf8_to_searchform(s, len, run->charset_flags, &form);
    found = charset_searchstring(term->text.s, term->text.len, form.s, form.len);
    buf_free(&form);
    return found;
}

/* The same of a text as header fields write it. */
static bool header_matches(struct search_run *run, const struct search_expr *term, const char *s,
                           size_t len)
{
    return charset_search_mimeheader(term->text.s, term->text.len, s, len, run->charset_flags);
}

/* ---- the cache record ---- */

/* Any field of that name in a header. */
static bool fields_match(struct search_run *run, const struct search_expr *term, const char *base,
                         size_t len, const char *name)
{
    struct header_field field;
    struct header_iter it;

    header_iter_init(&it, base, len, 0);
    while (header_iter_next(&it, &field)) {
        if (memcaseeq(field.name.s, field.name.len, name, strlen(name)) &&
            header_matches(run, term, field.value.s, field.value.len))
            return true;
    }
    return false;
}

static bool message_fields_match(struct search_run *run, const struct search_expr *term,
                                 const char *name)
{
    const struct message_content *m = search_message(run);

    return m &&
           fields_match(run, term, m->base + m->body->header_offset, m->body->header_size, name);
}

/* Fields that items of the record hold, as the keys of their own look at them. */
static const struct {
    const char *name;
    enum cache_item item;
} item_fields[] = {
    { "from", CACHE_FROM },
    { "to", CACHE_TO },
    { "cc", CACHE_CC },
    { "bcc", CACHE_BCC },
};

/* Without rfc2047_utf8 the record has U+FFFD in place of what is not ASCII. */
static bool lost_its_text(const struct search_run *run, const char *s, size_t len)
{
    return run->source->utf8 && len && memmem(s, len, "\xef\xbf\xbd", 3);
}

static bool item_matches(struct search_run *run, const struct search_expr *term,
                         enum cache_item item)
{
    const struct cacherecord *cache = search_cache(run);

    if (!cache || !cacheitem_size(cache, item)) return false;
    const char *s = cacheitem_base(cache, item);
    size_t len = cacheitem_size(cache, item);
    for (size_t i = 0; lost_its_text(run, s, len) && i < array_size(item_fields); i++)
        if (item_fields[i].item == item) return message_fields_match(run, term, item_fields[i].name);
    return search_text_matches(run, term, s, len);
}

bool search_match_item(struct search_run *run, const struct search_expr *term)
{
    return item_matches(run, term, (enum cache_item)term->key->param);
}

bool search_match_subject(struct search_run *run, const struct search_expr *term)
{
    const struct cacherecord *cache = search_cache(run);
    struct msgtext subject;

    if (!cache) return false;
    if (cacheitem_parse_nstring(cacheitem_base(cache, CACHE_SUBJECT),
                                cacheitem_size(cache, CACHE_SUBJECT), &subject)) {
        run->failed = true;
        return false;
    }
    if (!subject.s) return false;
    if (lost_its_text(run, subject.s, subject.len)) return message_fields_match(run, term, "subject");
    return search_text_matches(run, term, subject.s, subject.len);
}

static bool envelope_matches(struct search_run *run, const struct search_expr *term,
                             enum envelope_field field)
{
    const struct cacherecord *cache = search_cache(run);
    struct msgtext tokens[NUM_ENVELOPE_TOKENS];

    if (!cache) return false;
    if (cacheitem_parse_envelope(cacheitem_base(cache, CACHE_ENVELOPE),
                                 cacheitem_size(cache, CACHE_ENVELOPE), tokens)) {
        run->failed = true;
        return false;
    }
    return tokens[field].s && header_matches(run, term, tokens[field].s, tokens[field].len);
}

static bool cached_fields_match(struct search_run *run, const struct search_expr *term,
                                const char *name)
{
    const struct cacherecord *cache = search_cache(run);

    return cache && fields_match(run, term, cacheitem_base(cache, CACHE_HEADERS),
                                 cacheitem_size(cache, CACHE_HEADERS), name);
}

static const struct {
    const char *name;
    enum envelope_field field;
} envelope_fields[] = {
    { "message-id", ENV_MSGID },
    { "in-reply-to", ENV_INREPLYTO },
    { "date", ENV_DATE },
};

bool search_match_header(struct search_run *run, const struct search_expr *term)
{
    unsigned version = mailbox_cached_header(term->name, strlen(term->name));

    if (!cyr_strcasecmp(term->name, "subject")) return search_match_subject(run, term);
    for (size_t i = 0; i < array_size(item_fields); i++) {
        if (!cyr_strcasecmp(term->name, item_fields[i].name))
            return item_matches(run, term, item_fields[i].item);
    }
    for (size_t i = 0; i < array_size(envelope_fields); i++) {
        if (!cyr_strcasecmp(term->name, envelope_fields[i].name))
            return envelope_matches(run, term, envelope_fields[i].field);
    }
    if (version != BIT32_MAX_CACHE_VERSION && version <= run->rec->cache_version)
        return cached_fields_match(run, term, term->name);
    return message_fields_match(run, term, term->name);
}

bool search_match_listid(struct search_run *run, const struct search_expr *term)
{
    return cached_fields_match(run, term, "List-Id");
}

bool search_match_deliveredto(struct search_run *run, const struct search_expr *term)
{
    return message_fields_match(run, term, "X-Original-Delivered-To");
}

/* Is the score at least the number? A message without one has 0. */
bool search_match_spam(struct search_run *run, const struct search_expr *term)
{
    const struct cacherecord *cache = search_cache(run);
    struct header_field field;
    double score = 0;

    if (!cache) return false;
    if (message_header_find(cacheitem_base(cache, CACHE_HEADERS),
                            cacheitem_size(cache, CACHE_HEADERS), "X-Spam-score", &field)) {
        char *text = xstrndup(field.value.s, cyr_min(field.value.len, (size_t)40));

        score = strtod(text, NULL);
        free(text);
    }
    return score >= (double)term->number;
}

/* ---- the message ---- */

/* Any field of a header, its name included. */
static bool header_block_matches(struct search_run *run, const struct search_expr *term,
                                 const struct body *body)
{
    struct header_field field;
    struct header_iter it;

    header_iter_init(&it, run->content->base + body->header_offset, body->header_size, 0);
    while (header_iter_next(&it, &field)) {
        if (header_matches(run, term, field.raw.s, field.raw.len)) return true;
    }
    return false;
}

static bool content_matches(struct search_run *run, const struct search_expr *term,
                            const struct body *body, const char *charset)
{
    size_t len = body->charset.s ? body->charset.len : strlen(charset);
    charset_t cs = charset_lookupname(body->charset.s ? body->charset.s : charset, len);
    const char *subtype = body_type_is(body, "TEXT", "HTML") ? "HTML" : NULL;
    bool found = charset_searchfile(term->text.s, term->text.len,
                                    run->content->base + body->content_offset, body->content_size,
                                    cs, body->cte, subtype, run->charset_flags);

    charset_free(&cs);
    return found;
}

static bool is_text(const struct body *body)
{
    return body->no_parts || body_type_is(body, "TEXT", NULL) ||
           body_type_is(body, "MESSAGE", NULL);
}

typedef bool body_fn(struct search_run *run, const struct search_expr *term,
                     const struct body *body);

/* Does fn say yes for this body or one inside? The message itself is asked, too. */
static bool any_body(struct search_run *run, const struct search_expr *term,
                     const struct body *body, body_fn *fn)
{
    if (fn(run, term, body)) return true;
    for (const struct body *part = body->first; part; part = part->next) {
        if (any_body(run, term, part, fn)) return true;
    }
    return false;
}

static bool body_matches(struct search_run *run, const struct search_expr *term,
                         const struct body *body)
{
    if (body != run->content->body && header_block_matches(run, term, body)) return true;
    return !body->first && is_text(body) && content_matches(run, term, body, "us-ascii");
}

static bool message_matches(struct search_run *run, const struct search_expr *term, body_fn *fn)
{
    const struct message_content *m = search_message(run);

    return m && any_body(run, term, m->body, fn);
}

bool search_match_body(struct search_run *run, const struct search_expr *term)
{
    return !term->text.len || message_matches(run, term, body_matches);
}

bool search_match_text(struct search_run *run, const struct search_expr *term)
{
    const struct message_content *m;

    if (!term->text.len) return true;
    m = search_message(run);
    return m &&
           (header_block_matches(run, term, m->body) || any_body(run, term, m->body, body_matches));
}

static bool type_matches(struct search_run *run, const struct search_expr *term,
                         const struct body *body)
{
    struct buf type = BUF_INITIALIZER;
    bool found;

    buf_appendmap(&type, body->type.s, body->type.len);
    buf_putc(&type, '/');
    buf_appendmap(&type, body->subtype.s, body->subtype.len);
    found = search_text_matches(run, term, type.s, type.len);
    buf_free(&type);
    return found;
}

bool search_match_contenttype(struct search_run *run, const struct search_expr *term)
{
    return message_matches(run, term, type_matches);
}

static bool param_matches(struct search_run *run, const struct search_expr *term,
                          const struct message_param *params, const char *name)
{
    struct buf value = BUF_INITIALIZER;
    bool found = false;

    for (; params && !found; params = params->next) {
        size_t len = strlen(name);

        if (params->name.len < len || memcmp(params->name.s, name, len)) continue;
        if (params->name.len > len + 1 || (params->name.len > len && params->name.s[len] != '*'))
            continue;
        buf_reset(&value);
        message_param_decode(params, &value);
        found = search_text_matches(run, term, value.s, value.len);
    }
    buf_free(&value);
    return found;
}

static bool name_matches(struct search_run *run, const struct search_expr *term,
                         const struct body *body)
{
    return param_matches(run, term, body->disposition_params, "FILENAME") ||
           param_matches(run, term, body->params, "NAME");
}

bool search_match_attachmentname(struct search_run *run, const struct search_expr *term)
{
    return message_matches(run, term, name_matches);
}

static bool attachment_matches(struct search_run *run, const struct search_expr *term,
                               const struct body *body)
{
    bool attached = body->disposition.s &&
                    memcaseeq(body->disposition.s, body->disposition.len, "ATTACHMENT", 10);

    if (body->first || (!attached && is_text(body))) return false;
    return content_matches(run, term, body, "utf-8");
}

bool search_match_attachmentbody(struct search_run *run, const struct search_expr *term)
{
    return message_matches(run, term, attachment_matches);
}
