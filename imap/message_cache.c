/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_cache -- cache records written (handbook 02 §4)
 *
 * Ten items in a fixed order, each a 32-bit length, the bytes, and NULs up to the
 * next multiple of four. A replica and 3.6.1 compute the same bytes from the same
 * message; only the hash of an inner message may be missing here, where a mail of
 * many messages inside each other would make us hash the same bytes for ever.
 */
#include <config.h>

#include "message_cache.h"

#include <string.h>

#include "buf.h"
#include "crc32.h"
#include "message_header.h"
#include "util.h"

#define NO_PART UINT32_MAX /* size of a header or content that a multipart does not have */
#define CTE_NONE 0xffffu   /* of the entry that stands for a whole message */

/* Contents of inner messages may be hashed this many times the size of the whole. */
#define HASH_FACTOR 64

struct writer {
    const struct message_content *m;
    struct buf *dst;
    size_t hash_budget; /* bytes of inner messages */
};

static void put(struct writer *w, size_t v)
{
    buf_appendbit32(w->dst, (uint32_t)v);
}

/* Starts an item; returns where its length is filled in. */
static size_t begin_item(struct buf *dst)
{
    buf_appendbit32(dst, 0);
    return dst->len;
}

static void end_item(struct buf *dst, size_t start)
{
    size_t len = dst->len - start;

    put_be32(dst->s + start - 4, (uint32_t)len);
    buf_appendfill(dst, '\0', roundup2(len, 4) - len);
}

/* ---- SECTION ---- */

/* Hash, size of the decoded content, and lines. */
static void write_content(struct writer *w, const struct body *body)
{
    unsigned char sha1[SHA1_SIZE] = { 0 };
    size_t size = 0;
    bool skip = body->no_content || (body_is_multipart(body) && !body->no_parts);

    if (!skip && body_is_rfc822(body)) {
        skip = body->content_size > w->hash_budget;
        if (!skip) w->hash_budget -= body->content_size;
    }
    if (!skip)
        charset_digest_mimebody(w->m->base + body->content_offset, body->content_size, body->cte,
                                sha1, &size);
    buf_appendmap(w->dst, sha1, sizeof(sha1));
    put(w, size);
    put(w, body->content_lines);
}

static void write_empty_content(struct writer *w)
{
    buf_appendfill(w->dst, '\0', SHA1_SIZE + 8);
}

/* Transfer encoding, length of the charset's name, and the name. */
static void write_encoding(struct writer *w, const struct body *body)
{
    size_t len = body->charset.s ? roundup2(body->charset.len + 1, 4) : 0;

    put(w, (uint32_t)len << 16 | (uint32_t)body->cte);
    if (!len) return;
    buf_appendmap(w->dst, body->charset.s, body->charset.len);
    buf_appendfill(w->dst, '\0', len - body->charset.len);
}

static bool has_no_parts(const struct body *body)
{
    return body_is_multipart(body) && !body->nparts;
}

static void write_range(struct writer *w, const struct body *body)
{
    put(w, body->header_offset);
    put(w, body->header_size);
    put(w, body->content_offset);
}

static void write_part(struct writer *w, const struct body *body)
{
    write_range(w, body);
    put(w, has_no_parts(body) ? 0 : body->content_size);
    write_encoding(w, body);
    write_content(w, body);
}

static void write_section(struct writer *w, const struct body *body);

static void write_parts(struct writer *w, const struct body *body)
{
    for (const struct body *part = body->first; part; part = part->next) write_part(w, part);
    for (const struct body *part = body->first; part; part = part->next) write_section(w, part);
}

/* The section of a message, be it the whole or one inside. */
static void write_message(struct writer *w, const struct body *body)
{
    bool parts = body_is_multipart(body) && body->nparts;

    put(w, parts ? body->nparts + 1 : 2);
    write_range(w, body);
    put(w, body->content_size);
    put(w, CTE_NONE);
    write_content(w, body);
    if (parts) {
        write_parts(w, body);
        return;
    }
    if (!has_no_parts(body)) {
        write_part(w, body);
        write_section(w, body);
        return;
    }
    write_range(w, body);
    put(w, 0);
    put(w, CTE_NONE);
    write_empty_content(w);
    put(w, 0);
}

static void write_section(struct writer *w, const struct body *body)
{
    if (body_is_rfc822(body)) {
        write_message(w, body->first);
    }
    else if (body_is_multipart(body) && body->nparts) {
        put(w, body->nparts + 1);
        put(w, 0);
        put(w, NO_PART);
        put(w, 0);
        put(w, NO_PART);
        put(w, CTE_NONE);
        write_empty_content(w);
        write_parts(w, body);
    }
    else {
        put(w, 0);
    }
}

/* ---- HEADERS ---- */

static void write_headers(const struct message_content *m, struct buf *dst)
{
    struct header_field field;
    struct header_iter it;

    header_iter_init(&it, m->base + m->body->header_offset, m->body->header_size,
                     m->config.maxheaderlines);
    while (header_iter_next(&it, &field)) {
        if (mailbox_cached_header(field.name.s, field.name.len) > MAILBOX_CACHE_MINOR_VERSION)
            continue;
        buf_appendmap(dst, field.raw.s, field.raw.len);
        if (field.raw.s[field.raw.len - 1] != '\n') buf_appendcstr(dst, "\r\n");
    }
}

/* ---- the others ---- */

/* The decoded text, up to a NUL in it. */
static void write_subject(const struct message_content *m, struct buf *dst)
{
    struct msgtext subject = m->body->fields.subject;
    struct buf text = BUF_INITIALIZER;

    if (!subject.s) {
        message_write_nstring(NULL, 0, dst);
        return;
    }
    charset_decode_mimeheader(subject.s, subject.len, m->config.rfc2047_utf8, &text);
    buf_cstring(&text);
    message_write_nstring(text.s, strlen(text.s), dst);
    buf_free(&text);
}

static void write_item(const struct message_content *m, enum cache_item item, struct buf *dst)
{
    const struct message_fields *f = &m->body->fields;
    const struct rfc822_address *lists[] = { f->from, f->to, f->cc, f->bcc };
    struct writer w = { m, dst, 0 };

    switch (item) {
    case CACHE_ENVELOPE: message_write_envelope(m->body, dst); break;
    case CACHE_BODYSTRUCTURE: message_write_body(m->body, BODY_FORM_BODYSTRUCTURE, dst); break;
    case CACHE_BODY: message_write_body(m->body, BODY_FORM_BODY, dst); break;
    case CACHE_SECTION:
        w.hash_budget = m->len > SIZE_MAX / HASH_FACTOR ? SIZE_MAX : m->len * HASH_FACTOR;
        write_message(&w, m->body);
        break;
    case CACHE_HEADERS: write_headers(m, dst); break;
    case CACHE_FROM:
    case CACHE_TO:
    case CACHE_CC:
    case CACHE_BCC:
        rfc822_addr_write_search(lists[item - CACHE_FROM], m->config.rfc2047_utf8, dst);
        break;
    case CACHE_SUBJECT: write_subject(m, dst); break;
    case NUM_CACHE_FIELDS: break;
    }
}

void message_write_cache(const struct message_content *content, struct buf *dst, uint32_t *crc)
{
    size_t record = dst->len;

    for (int item = 0; item < NUM_CACHE_FIELDS; item++) {
        size_t start = begin_item(dst);

        write_item(content, (enum cache_item)item, dst);
        end_item(dst, start);
    }
    *crc = crc32_map(dst->s + record, dst->len - record);
}
