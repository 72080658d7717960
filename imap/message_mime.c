/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_mime -- values of Content-* fields (RFC 2045 §5.1, RFC 2183, RFC 3282)
 *
 * White space, line ends of folds and comments may stand between any two words. A
 * value that breaks the grammar counts as none; a bad parameter is left out, up to
 * the next semicolon. Words that are compared become upper case, values stay.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "charset.h"
#include "message_int.h"
#include "util.h"

struct reader {
    const char *p, *end;
    struct message_arena *arena;
    bool encode; /* values beyond ASCII are written as encoded words */
};

static void skip_comment(struct reader *r)
{
    unsigned depth = 0;

    for (; r->p < r->end; r->p++) {
        if (*r->p == '\\' && r->p + 1 < r->end)
            r->p++;
        else if (*r->p == '(')
            depth++;
        else if (*r->p == ')' && !--depth)
            break;
    }
    if (r->p < r->end) r->p++;
}

static void skip_blank(struct reader *r)
{
    while (r->p < r->end) {
        if (*r->p == '(')
            skip_comment(r);
        else if (cyr_isspace(*r->p))
            r->p++;
        else
            return;
    }
}

static bool in_token(char c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static struct msgtext upper(struct message_arena *arena, const char *s, size_t len)
{
    struct msgtext t = message_arena_text(arena, s, len);
    char *p = (char *)(uintptr_t)t.s;

    for (size_t i = 0; i < len; i++) p[i] = cyr_toupper(p[i]);
    return t;
}

/* A token, maybe an empty one, in upper case, and the blanks around it. */
static struct msgtext read_token(struct reader *r)
{
    const char *start;
    size_t len;

    skip_blank(r);
    start = r->p;
    while (r->p < r->end && in_token(*r->p)) r->p++;
    len = (size_t)(r->p - start);
    skip_blank(r);
    return upper(r->arena, start, len);
}

/* ---- parameters ---- */

/* Behind the opening quote. A fold loses its line end; a CR alone or no end is bad. */
static bool read_quoted(struct reader *r, struct buf *dst)
{
    while (r->p < r->end) {
        char c = *r->p++;

        if (c == '"') return true;
        if (c == '\\') {
            if (r->p == r->end) return false;
            c = *r->p++;
        }
        else if (c == '\r') {
            if (r->end - r->p < 2 || r->p[0] != '\n' || (r->p[1] != ' ' && r->p[1] != '\t'))
                return false;
            r->p++;
            continue;
        }
        buf_putc(dst, c);
    }
    return false;
}

/*
 * Without quotes: up to a semicolon or comment, blanks and folds inside as they are. A semicolon
 * in the place of a value is that value.
 */
static bool read_bare(struct reader *r, struct buf *dst)
{
    const char *start = r->p, *end;

    if (r->p < r->end && *r->p == ';') {
        buf_putc(dst, *r->p++);
        return true;
    }
    for (; r->p < r->end && *r->p != ';' && *r->p != '('; r->p++) {
        if ((unsigned char)*r->p >= ' ' || *r->p == '\t') continue;
        if (*r->p != '\r' || r->end - r->p < 3 || r->p[1] != '\n' ||
            (r->p[2] != ' ' && r->p[2] != '\t'))
            break;
        r->p++;
    }
    for (end = r->p; end > start && cyr_isspace(end[-1]); end--) {}
    buf_appendmap(dst, start, (size_t)(end - start));
    return end > start;
}

static bool has_8bit(const struct buf *buf)
{
    for (size_t i = 0; i < buf->len; i++) {
        if ((unsigned char)buf->s[i] >= 0x80) return true;
    }
    return false;
}

static bool read_value(struct reader *r, struct msgtext *value)
{
    struct buf text = BUF_INITIALIZER;
    bool ok;

    skip_blank(r);
    if (r->p < r->end && *r->p == '"') {
        r->p++;
        ok = read_quoted(r, &text);
    }
    else {
        ok = read_bare(r, &text);
    }
    skip_blank(r);
    ok = ok && (r->p == r->end || *r->p == ';');
    if (ok && r->encode && has_8bit(&text)) {
        struct buf word = BUF_INITIALIZER;

        charset_encode_mimeheader(text.s, text.len, &word);
        buf_move(&text, &word);
    }
    if (ok) *value = message_arena_text(r->arena, text.s ? text.s : "", text.len);
    buf_free(&text);
    return ok;
}

/* `; name=value` as often as it comes. */
static struct message_param *read_params(struct reader *r)
{
    struct message_param *first = NULL, **tail = &first;

    while (r->p < r->end) {
        struct msgtext name, value;
        const char *next;

        if (*r->p == ';') {
            r->p++;
            name = read_token(r);
            if (r->p < r->end && *r->p == '=') {
                r->p++;
                if (read_value(r, &value)) {
                    *tail = message_arena_alloc(r->arena, sizeof(**tail));
                    (*tail)->name = name;
                    (*tail)->value = value;
                    tail = &(*tail)->next;
                    continue;
                }
            }
        }
        next = memchr(r->p, ';', (size_t)(r->end - r->p));
        r->p = next ? next : r->end;
    }
    return first;
}

/* ---- fields ---- */

static bool read_type(struct reader *r, struct body *body)
{
    struct msgtext type, subtype;

    skip_blank(r);
    if (r->p == r->end) return false;
    type = read_token(r);
    if (r->p == r->end || *r->p != '/') return false;
    r->p++;
    skip_blank(r);
    if (r->p == r->end) return false;
    subtype = read_token(r);
    if (r->p < r->end && *r->p != ';') return false;

    body->type = type;
    body->subtype = subtype;
    body->params = read_params(r);
    return true;
}

/* ---- extended values ---- */

/* `charset'language'text` with %XX as UTF-8 (RFC 2231 §4); false: not that. */
static bool decode_extended(struct msgtext value, struct buf *dst)
{
    const char *end = value.s + value.len, *p = memchr(value.s, '\'', value.len);
    struct buf bytes = BUF_INITIALIZER;
    charset_t cs;

    if (!p) return false;
    cs = charset_lookupname(value.s, (size_t)(p - value.s));
    if (!cs) return false;
    p = memchr(p + 1, '\'', (size_t)(end - p - 1));
    for (p = p ? p + 1 : end; p < end; p++) {
        if (*p == '%' && end - p > 2 && hexval(p[1]) >= 0 && hexval(p[2]) >= 0) {
            buf_putc(&bytes, (char)(hexval(p[1]) << 4 | hexval(p[2])));
            p += 2;
        }
        else {
            buf_putc(&bytes, *p);
        }
    }
    charset_to_utf8(bytes.s, bytes.len, cs, MIME_ENCODING_NONE, dst);
    charset_free(&cs);
    buf_free(&bytes);
    return true;
}

void message_param_decode(const struct message_param *param, struct buf *dst)
{
    bool extended = param->name.len && param->name.s[param->name.len - 1] == '*';

    if (extended && decode_extended(param->value, dst)) return;
    charset_decode_mimeheader(param->value.s, param->value.len, true, dst);
}

/* Values of RFC 2231 become the UTF-8 that they stand for; a boundary is decoded where it is used. */
static void decode_params(struct message_content *m, struct message_param *p)
{
    struct buf text = BUF_INITIALIZER;

    for (; p; p = p->next) {
        bool extended = p->name.len && p->name.s[p->name.len - 1] == '*';
        buf_reset(&text);
        if (!extended || memcaseeq(p->name.s, p->name.len, "BOUNDARY*", 9) || !decode_extended(p->value, &text)) continue;
        p->value = message_arena_text(m->arena, buf_cstring(&text), buf_len(&text));
    }
    buf_free(&text);
}

/* ---- Content-Type, Content-Disposition ---- */

bool mime_read_type(struct message_content *m, struct msgtext value, struct body *body)
{
    struct reader r = { value.s, value.s + value.len, m->arena, false };
    struct buf decoded = BUF_INITIALIZER;
    bool ok;

    skip_blank(&r);
    if (r.end - r.p > 2 && r.p[0] == '=' && r.p[1] == '?') {
        charset_decode_mimeheader(r.p, (size_t)(r.end - r.p), m->config.rfc2047_utf8, &decoded);
        r.encode = true;
        r.p = decoded.s ? decoded.s : "";
        r.end = r.p + decoded.len;
    }
    ok = read_type(&r, body);
    if (ok) mime_join_params(m, &body->params);
    if (ok && m->config.rev2) {
        decode_params(m, body->params);
        body->is_global = body_type_is(body, "MESSAGE", "GLOBAL");
    }
    buf_free(&decoded);
    return ok;
}

void mime_read_disposition(struct message_content *m, struct msgtext value, struct body *body)
{
    struct reader r = { value.s, value.s + value.len, m->arena, false };
    struct msgtext name;

    body->disposition = (struct msgtext){ NULL, 0 };
    body->disposition_params = NULL;
    skip_blank(&r);
    if (r.p == r.end) return;
    name = read_token(&r);
    if (r.p < r.end && *r.p != ';') return;
    body->disposition = name;
    body->disposition_params = read_params(&r);
    mime_join_params(m, &body->disposition_params);
    if (m->config.rev2) decode_params(m, body->disposition_params);
}

struct msgtext mime_read_encoding(struct message_content *m, struct msgtext value)
{
    struct reader r = { value.s, value.s + value.len, m->arena, false };
    struct msgtext name = read_token(&r);

    if (r.p < r.end || !name.len) name = (struct msgtext){ NULL, 0 };
    return name;
}

/* Tags with commas between them; the list ends where it breaks. */
void mime_read_language(struct message_content *m, struct msgtext value, struct body *body)
{
    struct reader r = { value.s, value.s + value.len, m->arena, false };
    struct message_param **tail = &body->language;

    body->language = NULL;
    for (;;) {
        const char *start;
        size_t len;

        skip_blank(&r);
        if (r.p == r.end) return;
        start = r.p;
        while (r.p < r.end && (cyr_isalpha(*r.p) || *r.p == '-')) r.p++;
        len = (size_t)(r.p - start);
        skip_blank(&r);
        if (r.p < r.end && *r.p != ',') return;
        *tail = message_arena_alloc(m->arena, sizeof(**tail));
        (*tail)->name = upper(m->arena, start, len);
        tail = &(*tail)->next;
        if (r.p < r.end) r.p++;
    }
}

struct msgtext mime_boundary(struct message_content *m, const struct message_param *params)
{
    struct buf text = BUF_INITIALIZER;
    struct msgtext boundary;

    for (; params; params = params->next) {
        if (memcaseeq(params->name.s, params->name.len, "BOUNDARY", 8)) return params->value;
        if (!memcaseeq(params->name.s, params->name.len, "BOUNDARY*", 9)) continue;
        if (!decode_extended(params->value, &text)) return params->value;
        boundary = message_arena_text(m->arena, text.s ? text.s : "", text.len);
        buf_free(&text);
        return boundary;
    }
    return (struct msgtext){ NULL, 0 };
}
