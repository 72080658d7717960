/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_parse_section -- BODY[...]<o.n>, BINARY[...]<o.n> and BINARY.SIZE[...] in a FETCH command
 *
 * The word up to the first blank or parenthesis has been read, in upper case; a list of
 * header fields and the rest of the item follow on the stream. Errors: handbook 04
 * §3.12 no. 1 and 5.
 */
#include <config.h>

#include <stdlib.h>

#include "fetch.h"
#include "util.h"
#include "xmalloc.h"

static const struct {
    const char *prefix;
    enum fetch_section_kind kind;
    bool setseen;
} kinds[] = {
    { "BODY[", FETCH_SECTION_BODY, true },
    { "BODY.PEEK[", FETCH_SECTION_BODY, false },
    { "BINARY[", FETCH_SECTION_BINARY, true },
    { "BINARY.PEEK[", FETCH_SECTION_BINARY, false },
    { "BINARY.SIZE[", FETCH_SECTION_BINARY_SIZE, false },
};

static bool bad_section(struct imap_session *s)
{
    imap_bad(s, "Invalid body section");
    return false;
}

/* The header names behind BODY[...HEADER.FIELDS; the text gets " (a b)". */
static bool parse_fields(struct imap_session *s, struct fetch_section *sec, const char *word)
{
    struct buf name = BUF_INITIALIZER;
    bool ok = s->c == ' ' && prot_getc(s->in) == '(';

    if (!ok) return bad_section(s);
    buf_appendcstr(&sec->text, " (");
    do {
        s->c = getastring(s->in, s->out, &name);
        ok = s->c >= 0 && buf_len(&name) && !strpbrk(buf_cstring(&name), ": \t");
        if (!ok) break;
        if (strarray_size(&sec->fields)) buf_putc(&sec->text, ' ');
        strarray_append(&sec->fields, buf_cstring(&name));
        if (imparse_isnatom(buf_base(&name), buf_len(&name)))
            buf_append(&sec->text, &name);
        else
            buf_printf(&sec->text, "{%zu}\r\n%s", buf_len(&name), buf_cstring(&name));
    } while (s->c == ' ');
    buf_putc(&sec->text, ')');
    buf_free(&name);
    if (!ok || s->c != ')') {
        imap_bad(s, "Invalid field-name in %s %s", buf_cstring(&s->cmdname), word);
        return false;
    }
    return true;
}

/* "<o.n>" or nothing. */
static bool parse_partial(struct imap_session *s, struct fetch_section *sec, const char *p)
{
    const char *end = p + strlen(p);
    bool ok = true;

    if (p == end) return true;
    ok = *p++ == '<' && !scan_u64(&p, end, &sec->start) && p < end && *p++ == '.' &&
         !scan_u64(&p, end, &sec->count) && sec->count && !strcmp(p, ">") &&
         sec->kind != FETCH_SECTION_BINARY_SIZE;
    sec->partial = true;
    if (!ok) imap_bad(s, "Invalid body partial");
    return ok;
}

/* Behind the section text: "]" and what may follow. For a list of fields it is still to be read. */
static bool parse_rest(struct imap_session *s, struct fetch_section *sec, const char *rest)
{
    struct buf word = BUF_INITIALIZER;
    bool ok;

    if (sec->kind == FETCH_SECTION_FIELDS) {
        s->c = getword(s->in, &word);
        rest = buf_cstring(&word);
    }
    if (s->c < 0 || *rest != ']')
        ok = bad_section(s);
    else
        ok = parse_partial(s, sec, rest + 1);
    buf_free(&word);
    return ok;
}

static bool parse_text(struct imap_session *s, struct fetch_section *sec, const char *word,
                       const char *text)
{
    struct section_spec spec;
    size_t used;

    if (!section_spec_parse(text, strlen(text), &spec, &used)) return bad_section(s);
    if (sec->kind != FETCH_SECTION_BODY && spec.what != SECTION_BODY) return bad_section(s);
    buf_setmap(&sec->text, text, used);
    if (spec.what == SECTION_FIELDS || spec.what == SECTION_FIELDS_NOT) {
        sec->kind = FETCH_SECTION_FIELDS;
        if (text[used] || !parse_fields(s, sec, word)) return text[used] ? bad_section(s) : false;
    }
    if (!parse_rest(s, sec, text + used)) return false;
    buf_cstring(&sec->text);
    return section_spec_parse(sec->text.s, sec->text.len, &sec->spec, &used) || bad_section(s);
}

static void append_section(struct fetch_request *req, struct fetch_section *sec)
{
    struct fetch_section **tail = &req->sections[sec->kind];

    while (*tail) tail = &(*tail)->next;
    *tail = sec;
}

bool fetch_parse_section(struct imap_session *s, struct fetch_request *req, const char *word)
{
    struct fetch_section *sec = xzmalloc(sizeof(*sec));
    size_t i = 0;

    while (!strstarts(word, kinds[i].prefix)) i++;
    sec->kind = kinds[i].kind;
    if (!parse_text(s, sec, word, word + strlen(kinds[i].prefix))) {
        buf_free(&sec->text);
        strarray_fini(&sec->fields);
        free(sec);
        return false;
    }
    if (kinds[i].setseen) req->items |= FETCH_SETSEEN;
    append_section(req, sec);
    return true;
}
