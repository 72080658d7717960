/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_write -- ENVELOPE, BODY and BODYSTRUCTURE of a parsed message (RFC 3501 §7.4.2)
 *
 * The texts go into cache records and from there to clients as they are, so a
 * byte more or less makes a replica differ.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "message_int.h"
#include "util.h"

/* A longer text is a literal. */
#define MAX_QUOTED 1024

static bool is_quotable(const char *s, size_t len)
{
    if (len >= MAX_QUOTED) return false;
    for (size_t i = 0; i < len; i++) {
        if (!s[i] || (unsigned char)s[i] >= 0x80 || strchr("\r\n\"%\\", s[i])) return false;
    }
    return true;
}

void message_write_nstring(const char *s, size_t len, struct buf *dst)
{
    if (!s) {
        buf_appendcstr(dst, "NIL");
    }
    else if (is_quotable(s, len)) {
        buf_putc(dst, '"');
        buf_appendmap(dst, s, len);
        buf_putc(dst, '"');
    }
    else {
        buf_printf(dst, "{%zu}\r\n", len);
        buf_appendmap(dst, s, len);
    }
}

/* The nstring with a blank in front. */
static void write_text(struct msgtext t, struct buf *dst)
{
    buf_putc(dst, ' ');
    message_write_nstring(t.s, t.len, dst);
}

static void write_list(const struct rfc822_address *list, struct buf *dst)
{
    buf_putc(dst, ' ');
    rfc822_addr_write_envelope(list, dst);
}

void message_write_envelope(const struct body *body, struct buf *dst)
{
    const struct message_fields *f = &body->fields;

    buf_putc(dst, '(');
    message_write_nstring(f->date.s, f->date.len, dst);
    write_text(f->subject, dst);
    write_list(f->from, dst);
    write_list(f->sender ? f->sender : f->from, dst);
    write_list(f->reply_to ? f->reply_to : f->from, dst);
    write_list(f->to, dst);
    write_list(f->cc, dst);
    write_list(f->bcc, dst);
    write_text(f->in_reply_to, dst);
    write_text(f->message_id, dst);
    buf_putc(dst, ')');
}

static void write_params(const struct message_param *p, struct buf *dst)
{
    if (!p) {
        buf_appendcstr(dst, " NIL");
        return;
    }
    buf_appendcstr(dst, " (");
    for (const struct message_param *first = p; p; p = p->next) {
        if (p != first) buf_putc(dst, ' ');
        message_write_nstring(p->name.s, p->name.len, dst);
        write_text(p->value, dst);
    }
    buf_putc(dst, ')');
}

static void write_disposition(const struct body *body, struct buf *dst)
{
    if (!body->disposition.s) {
        buf_appendcstr(dst, " NIL");
        return;
    }
    buf_appendcstr(dst, " (");
    message_write_nstring(body->disposition.s, body->disposition.len, dst);
    write_params(body->disposition_params, dst);
    buf_putc(dst, ')');
}

static void write_language(const struct body *body, struct buf *dst)
{
    if (!body->language) {
        buf_appendcstr(dst, " NIL");
        return;
    }
    buf_appendcstr(dst, " (");
    for (const struct message_param *p = body->language; p; p = p->next) {
        if (p != body->language) buf_putc(dst, ' ');
        message_write_nstring(p->name.s, p->name.len, dst);
    }
    buf_putc(dst, ')');
}

static void write_offsets(const struct body *body, enum body_form form, struct buf *dst)
{
    if (form != BODY_FORM_ANNOTATOR) return;
    buf_printf(dst, " (OFFSET %zu HEADERSIZE %zu)", body->header_offset, body->header_size);
}

static void write_multipart(const struct body *body, enum body_form form, struct buf *dst)
{
    buf_putc(dst, '(');
    for (const struct body *part = body->first; part; part = part->next)
        message_write_body(part, form, dst);
    write_text(body->subtype, dst);
    if (form != BODY_FORM_BODY) {
        write_params(body->params, dst);
        write_disposition(body, dst);
        write_language(body, dst);
        write_text(body->location, dst);
    }
    write_offsets(body, form, dst);
    buf_putc(dst, ')');
}

/* What stands for a multipart without parts. */
static void write_empty(const struct body *body, enum body_form form, struct buf *dst)
{
    buf_appendcstr(dst, "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 0 0");
    if (form != BODY_FORM_BODY) buf_appendcstr(dst, " NIL NIL NIL NIL");
    write_offsets(body, form, dst);
    buf_putc(dst, ')');
}

static void write_single(const struct body *body, enum body_form form, struct buf *dst)
{
    static const struct msgtext sevenbit = { "7BIT", 4 };

    buf_putc(dst, '(');
    message_write_nstring(body->type.s, body->type.len, dst);
    write_text(body->subtype, dst);
    write_params(body->params, dst);
    write_text(body->id, dst);
    write_text(body->description, dst);
    write_text(body->encoding.s ? body->encoding : sevenbit, dst);
    buf_printf(dst, " %zu", body->content_size);
    if (body_is_rfc822(body)) {
        buf_putc(dst, ' ');
        message_write_envelope(body->first, dst);
        buf_putc(dst, ' ');
        message_write_body(body->first, form, dst);
    }
    if (body_is_rfc822(body) || body_type_is(body, "TEXT", NULL))
        buf_printf(dst, " %zu", body->content_lines);
    if (form != BODY_FORM_BODY) {
        write_text(body->md5, dst);
        write_disposition(body, dst);
        write_language(body, dst);
        write_text(body->location, dst);
    }
    write_offsets(body, form, dst);
    buf_putc(dst, ')');
}

void message_write_body(const struct body *body, enum body_form form, struct buf *dst)
{
    if (!body_is_multipart(body))
        write_single(body, form, dst);
    else if (body->nparts)
        write_multipart(body, form, dst);
    else
        write_empty(body, form, dst);
}
