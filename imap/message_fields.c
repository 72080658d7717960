/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_fields -- the header fields that a struct body keeps
 *
 * A table tells which fields are read and how. The last field of a name counts,
 * even when it can't be understood: it then takes back what one before it said.
 * Of Received the first counts.
 */
#include <config.h>

#include <stddef.h>
#include <string.h>

#include "buf.h"
#include "message_header.h"
#include "message_int.h"
#include "util.h"

struct field_reader {
    struct message_content *m;
    struct body *body;
    bool digest;
};

/* The value as text; a copy only where it is folded. */
static struct msgtext unfolded(struct message_content *m, struct msgtext value)
{
    struct buf text = BUF_INITIALIZER;
    struct msgtext t = value;

    while (t.len && (*t.s == ' ' || *t.s == '\t')) {
        t.s++;
        t.len--;
    }
    if (!t.len || !memchr(t.s, '\n', t.len)) return t;
    message_header_unfold(value, &text);
    t = message_arena_text(m->arena, text.s ? text.s : "", text.len);
    buf_free(&text);
    return t;
}

void message_default_type(struct message_content *m, struct body *body, bool digest)
{
    body->params = NULL;
    if (digest) {
        body->type = (struct msgtext){ "MESSAGE", 7 };
        body->subtype = (struct msgtext){ "RFC822", 6 };
        return;
    }
    body->type = (struct msgtext){ "TEXT", 4 };
    body->subtype = (struct msgtext){ "PLAIN", 5 };
    body->params = message_arena_alloc(m->arena, sizeof(*body->params));
    body->params->name = (struct msgtext){ "CHARSET", 7 };
    body->params->value = (struct msgtext){ "us-ascii", 8 };
}

/* ---- readers ---- */

typedef void field_fn(struct field_reader *r, struct msgtext value, size_t offset);

#define AT(type, base, offset) (*(type *)(void *)((char *)(base) + (offset)))

static void read_text(struct field_reader *r, struct msgtext value, size_t offset)
{
    AT(struct msgtext, r->body, offset) = unfolded(r->m, value);
}

static void read_first_text(struct field_reader *r, struct msgtext value, size_t offset)
{
    if (!AT(struct msgtext, r->body, offset).s) read_text(r, value, offset);
}

static void read_addresses(struct field_reader *r, struct msgtext value, size_t offset)
{
    AT(struct rfc822_address *, r->body, offset) = rfc822_addr_parse(r->m->arena, value.s,
                                                                     value.len);
}

static void read_type(struct field_reader *r, struct msgtext value, size_t offset)
{
    (void)offset;
    message_default_type(r->m, r->body, r->digest);
    mime_read_type(r->m, value, r->body);
}

static void read_disposition(struct field_reader *r, struct msgtext value, size_t offset)
{
    (void)offset;
    mime_read_disposition(r->m, value, r->body);
}

static void read_language(struct field_reader *r, struct msgtext value, size_t offset)
{
    (void)offset;
    mime_read_language(r->m, value, r->body);
}

static void read_encoding(struct field_reader *r, struct msgtext value, size_t offset)
{
    AT(struct msgtext, r->body, offset) = mime_read_encoding(r->m, value);
}

/* ---- the table ---- */

#define PART(name, fn, member)                                           \
    {                                                                    \
        name, sizeof(name) - 1, false, fn, offsetof(struct body, member) \
    }
#define MESSAGE(name, fn, member)                                              \
    {                                                                          \
        name, sizeof(name) - 1, true, fn, offsetof(struct body, fields.member) \
    }

static const struct known_field {
    const char *name;
    size_t len;
    bool of_message; /* means something in the header of a message only */
    field_fn *fn;
    size_t offset;
} known[] = {
    PART("CONTENT-DESCRIPTION", read_text, description),
    PART("CONTENT-DISPOSITION", read_disposition, disposition),
    PART("CONTENT-ID", read_text, id),
    PART("CONTENT-LANGUAGE", read_language, language),
    PART("CONTENT-LOCATION", read_text, location),
    PART("CONTENT-MD5", read_text, md5),
    PART("CONTENT-TRANSFER-ENCODING", read_encoding, encoding),
    PART("CONTENT-TYPE", read_type, type),
    MESSAGE("BCC", read_addresses, bcc),
    MESSAGE("CC", read_addresses, cc),
    MESSAGE("DATE", read_text, date),
    MESSAGE("FROM", read_addresses, from),
    MESSAGE("IN-REPLY-TO", read_text, in_reply_to),
    MESSAGE("MESSAGE-ID", read_text, message_id),
    MESSAGE("RECEIVED", read_first_text, received),
    MESSAGE("REFERENCES", read_text, references),
    MESSAGE("REPLY-TO", read_addresses, reply_to),
    MESSAGE("SENDER", read_addresses, sender),
    MESSAGE("SUBJECT", read_text, subject),
    MESSAGE("TO", read_addresses, to),
    MESSAGE("X-DELIVEREDINTERNALDATE", read_text, x_deliveredinternaldate),
    MESSAGE("X-ME-MESSAGE-ID", read_text, x_me_message_id),
};

static const struct known_field *lookup(struct msgtext name, bool is_message)
{
    for (size_t i = 0; i < array_size(known); i++) {
        if (name.len != known[i].len || (known[i].of_message && !is_message)) continue;
        if (memcaseeq(name.s, name.len, known[i].name, known[i].len)) return &known[i];
    }
    return NULL;
}

/* What the transfer encoding and the charset of the content are, as SECTION has them. */
static void settle(struct body *body)
{
    static const struct msgtext us_ascii = { "us-ascii", 8 };

    body->cte = charset_lookup_encoding(body->encoding.s ? body->encoding.s : "",
                                        body->encoding.len);
    body->charset = (struct msgtext){ NULL, 0 };
    if (body_type_is(body, "MESSAGE", NULL)) {
        body->cte = MIME_ENCODING_NONE;
        if (!body_is_rfc822(body)) body->charset = us_ascii;
        return;
    }
    if (!body_type_is(body, "TEXT", NULL)) return;
    body->charset = us_ascii;
    for (const struct message_param *p = body->params; p; p = p->next) {
        if (memcaseeq(p->name.s, p->name.len, "CHARSET", 7) &&
            charset_is_known(p->value.s, p->value.len))
            body->charset = p->value;
    }
}

void message_read_header(struct message_content *m, const char *base, size_t len, bool digest,
                         bool is_message, struct body *body)
{
    struct field_reader r = { m, body, digest };
    struct header_field field;
    struct header_iter it;

    message_default_type(m, body, digest);
    header_iter_init(&it, base, len, m->config.maxheaderlines);
    while (header_iter_next(&it, &field)) {
        const struct known_field *k = lookup(field.name, is_message);

        if (k) k->fn(&r, field.value, k->offset);
    }
    settle(body);
}
