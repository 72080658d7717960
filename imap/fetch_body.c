/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_body -- the items of a FETCH response that are made of the message's bytes
 *
 * Bytes go from the mapped message to the stream without a copy, but for filtered
 * headers and decoded parts. A section that the message hasn't is NIL; a piece
 * behind the end is "" (handbook 04 §3.12 no. 1).
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "fetch.h"
#include "imap_err.h"
#include "message_header.h"

static struct msgtext text_of(const struct buf *buf)
{
    return (struct msgtext){ buf->s, buf->len };
}

/* The piece that a partial asks for. */
static struct msgtext cut(const struct fetch_section *sec, struct msgtext t)
{
    if (!sec->partial) return t;
    if (sec->start >= t.len) return (struct msgtext){ t.s, 0 };
    t.s += sec->start;
    t.len -= sec->start;
    if (sec->count < t.len) t.len = sec->count;
    return t;
}

static void literal(struct fetch_writer *w, struct msgtext t, bool binary)
{
    if (!t.len)
        prot_puts(w->s->out, "\"\"");
    else if (binary && memchr(t.s, '\0', t.len))
        prot_printliteral8(w->s->out, t.s, t.len);
    else
        prot_printliteral(w->s->out, t.s, t.len);
}

/* "BODY[TEXT]<0> " */
static void head(struct fetch_writer *w, const struct fetch_section *sec, const char *name)
{
    fetch_item(w, name);
    prot_putc('[', w->s->out);
    prot_write(w->s->out, sec->text.s, sec->text.len);
    prot_putc(']', w->s->out);
    if (sec->partial) prot_printf(w->s->out, "<%" PRIu64 ">", sec->start);
    prot_putc(' ', w->s->out);
}

static bool is_whole(const struct fetch_section *sec)
{
    return sec->spec.what == SECTION_BODY && !sec->spec.path.len;
}

/* False: an error is noted. *found false: there is no such section. */
static bool find(struct fetch_writer *w, const struct fetch_section *sec,
                 struct section_range *range, bool *found)
{
    *found = true;
    if (!fetch_file(w)) return false;
    if (is_whole(sec) && sec->kind == FETCH_SECTION_BODY) {
        memset(range, 0, sizeof(*range));
        range->size = (uint32_t)w->fm->file.len;
        return true;
    }
    if (!fetch_cache(w)) return false;
    int r = section_find(&w->cache, w->fm->rec.cache_version, w->fm->file.len, &sec->spec, range);
    *found = r != IMAP_NOTFOUND;
    if (r && *found && !w->r) w->r = r;
    return !r || !*found;
}

static void body_section(struct fetch_writer *w, const struct fetch_section *sec)
{
    struct section_range range;
    bool found;

    if (!find(w, sec, &range, &found)) return;
    head(w, sec, "BODY");
    if (!found)
        prot_puts(w->s->out, "NIL");
    else
        literal(w, cut(sec, section_view(&range, w->fm->file.s, w->fm->file.len, 0, UINT64_MAX)), false);
}

/* Fields of the top header that the cache holds need no message file. */
static bool cached_fields(struct fetch_writer *w, const struct fetch_section *sec)
{
    return sec->spec.what == SECTION_FIELDS && !sec->spec.path.len &&
           mailbox_headers_cached(&sec->fields, w->fm->rec.cache_version);
}

static void fields_section(struct fetch_writer *w, const struct fetch_section *sec)
{
    struct buf text = BUF_INITIALIZER;
    struct section_range range;
    bool found = true;

    if (cached_fields(w, sec)) {
        if (!fetch_cache(w)) return;
        section_fields_cached(&w->cache, &sec->fields, &text);
    }
    else {
        if (!find(w, sec, &range, &found)) return;
        if (found)
            section_fields(&range, w->fm->file.s, w->fm->file.len, &sec->fields,
                           sec->spec.what == SECTION_FIELDS_NOT, &text);
    }
    head(w, sec, "BODY");
    if (!found)
        prot_puts(w->s->out, "NIL");
    else
        literal(w, cut(sec, text_of(&text)), false);
    buf_free(&text);
}

/* False: the item is left out. */
static bool decode(struct fetch_writer *w, const struct fetch_section *sec, bool *found,
                   struct buf *text)
{
    struct section_range range;

    if (!find(w, sec, &range, found)) return false;
    if (!*found) return true;
    int r = section_binary(&range, w->fm->file.s, w->fm->file.len, text);
    if (r == IMAP_NOTFOUND)
        *found = false;
    else if (r) {
        if (!w->r) w->r = r;
        return false;
    }
    return true;
}

static void binary_section(struct fetch_writer *w, const struct fetch_section *sec)
{
    struct buf text = BUF_INITIALIZER;
    bool found;

    if (decode(w, sec, &found, &text)) {
        head(w, sec, "BINARY");
        if (!found)
            prot_puts(w->s->out, "NIL");
        else
            literal(w, cut(sec, text_of(&text)), true);
    }
    buf_free(&text);
}

static void binary_size_section(struct fetch_writer *w, const struct fetch_section *sec)
{
    struct buf text = BUF_INITIALIZER;
    bool found;

    if (decode(w, sec, &found, &text)) {
        head(w, sec, "BINARY.SIZE");
        prot_printf(w->s->out, "%zu", found ? text.len : 0);
    }
    buf_free(&text);
}

void fetch_sections(struct fetch_writer *w)
{
    static void (*const put[])(struct fetch_writer *, const struct fetch_section *) = {
        [FETCH_SECTION_FIELDS] = fields_section,
        [FETCH_SECTION_BODY] = body_section,
        [FETCH_SECTION_BINARY] = binary_section,
        [FETCH_SECTION_BINARY_SIZE] = binary_size_section,
    };

    for (size_t kind = 0; kind < array_size(put); kind++)
        for (const struct fetch_section *sec = w->req->sections[kind]; sec; sec = sec->next)
            put[kind](w, sec);
}

/* Bytes of the header: what the index says, as far as the file has them. */
static size_t header_size(const struct fetch_writer *w)
{
    return cyr_min((size_t)w->fm->rec.header_size, w->fm->file.len);
}

static void header_lines(struct fetch_writer *w)
{
    struct buf text = BUF_INITIALIZER;

    if (!fetch_file(w)) return;
    message_header_filter(w->fm->file.s, header_size(w), &w->req->header_lines,
                          w->req->header_lines_not, &text);
    buf_appendcstr(&text, "\r\n");
    fetch_item(w, "RFC822.HEADER ");
    literal(w, text_of(&text), false);
    buf_free(&text);
}

void fetch_rfc822(struct fetch_writer *w)
{
    uint32_t wanted = w->req->items & (FETCH_HEADER | FETCH_TEXT | FETCH_RFC822);

    if (wanted && fetch_file(w)) {
        size_t split = header_size(w);
        if (wanted & FETCH_HEADER) {
            fetch_item(w, "RFC822.HEADER ");
            literal(w, (struct msgtext){ w->fm->file.s, split }, false);
        }
        if (wanted & FETCH_TEXT) {
            fetch_item(w, "RFC822.TEXT ");
            literal(w, (struct msgtext){ w->fm->file.s + split, w->fm->file.len - split }, false);
        }
        if (wanted & FETCH_RFC822) {
            fetch_item(w, "RFC822 ");
            literal(w, text_of(&w->fm->file), false);
        }
    }
    if (w->req->have_header_lines) header_lines(w);
}
