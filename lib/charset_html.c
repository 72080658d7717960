/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_html -- the text of an HTML document, for searching
 *
 * Not a parser: tags and comments go, of script and style elements all goes, named
 * entities that text is full of and numeric ones become characters. A tag that
 * separates words becomes a blank, so that words stay words; inline tags vanish.
 */
#include <config.h>

#include <stdbool.h>
#include <string.h>

#include <unicode/utf16.h>

#include "buf.h"
#include "charset_html.h"
#include "charset_int.h"
#include "util.h"

static const struct {
    const char *name;
    UChar32 c;
} entities[] = {
    { "amp", '&' },      { "apos", '\'' },    { "auml", 0xe4 },    { "Auml", 0xc4 },
    { "bull", 0x2022 },  { "cent", 0xa2 },    { "copy", 0xa9 },    { "eacute", 0xe9 },
    { "egrave", 0xe8 },  { "euro", 0x20ac },  { "gt", '>' },       { "hellip", 0x2026 },
    { "laquo", 0xab },   { "ldquo", 0x201c }, { "lsquo", 0x2018 }, { "lt", '<' },
    { "mdash", 0x2014 }, { "nbsp", 0xa0 },    { "ndash", 0x2013 }, { "ouml", 0xf6 },
    { "Ouml", 0xd6 },    { "quot", '"' },     { "raquo", 0xbb },   { "rdquo", 0x201d },
    { "reg", 0xae },     { "rsquo", 0x2019 }, { "shy", 0xad },     { "szlig", 0xdf },
    { "trade", 0x2122 }, { "uuml", 0xfc },    { "Uuml", 0xdc },    { "zwnj", 0x200c },
};

/* Tags inside words. */
static const char *const inline_tags[] = {
    "a", "b", "big", "em", "font", "i", "small", "span", "strong", "sub", "sup", "tt", "u", "wbr",
};

/* An entity's name and its ampersand and semicolon are no longer than this. */
#define MAX_ENTITY 12

static void append_char(UChar32 c, struct buf *dst)
{
    UChar units[2];
    size_t n = 0;

    if (c < 0 || c > 0x10ffff) c = 0xfffd;
    if (c == 0) return;
    U16_APPEND_UNSAFE(units, n, c);
    charset_append_utf16(units, n, dst);
}

static UChar32 numeric(const char *p, const char *end)
{
    unsigned base = 10;
    UChar32 c = 0;

    if (p < end && (*p == 'x' || *p == 'X')) {
        base = 16;
        p++;
    }
    if (p == end) return -1;
    for (; p < end; p++) {
        int v = hexval(*p);

        if (v < 0 || (unsigned)v >= base) return -1;
        c = c * (UChar32)base + v;
        if (c > 0x10ffff) return 0xfffd;
    }
    return c;
}

/* At '&': appends what it stands for, returns the place behind it. */
static const char *read_entity(const char *p, const char *end, struct buf *dst)
{
    size_t room = cyr_min((size_t)(end - p), (size_t)MAX_ENTITY);
    const char *semicolon = memchr(p, ';', room);
    UChar32 c = -1;

    if (semicolon && p[1] == '#') {
        c = numeric(p + 2, semicolon);
    }
    else if (semicolon) {
        size_t len = (size_t)(semicolon - p - 1);

        for (size_t i = 0; i < array_size(entities); i++) {
            if (len == strlen(entities[i].name) && !memcmp(p + 1, entities[i].name, len))
                c = entities[i].c;
        }
    }
    if (c < 0) {
        buf_putc(dst, '&');
        return p + 1;
    }
    append_char(c, dst);
    return semicolon + 1;
}

/* The end of a tag: quotes hide a '>'. */
static const char *tag_end(const char *p, const char *end)
{
    char quote = 0;

    for (; p < end; p++) {
        if (quote) {
            if (*p == quote) quote = 0;
        }
        else if (*p == '"' || *p == '\'') {
            quote = *p;
        }
        else if (*p == '>') {
            return p + 1;
        }
    }
    return end;
}

/* Behind the element whose name is given: at its end tag, or the end. */
static const char *skip_element(const char *p, const char *end, const char *name, size_t len)
{
    for (; (p = memchr(p, '<', (size_t)(end - p))); p++) {
        if ((size_t)(end - p) >= len + 2 && p[1] == '/' && memcaseeq(p + 2, len, name, len))
            return p;
    }
    return end;
}

static bool is_inline(const char *name, size_t len)
{
    for (size_t i = 0; i < array_size(inline_tags); i++) {
        if (memcaseeq(name, len, inline_tags[i], strlen(inline_tags[i]))) return true;
    }
    return false;
}

/* At '<': returns the place behind the tag, comment or element that leaves no text. */
static const char *read_tag(const char *p, const char *end, struct buf *dst)
{
    const char *name = p + 1, *close;
    bool closing = name < end && *name == '/';
    size_t len = 0;

    if (end - p >= 4 && !memcmp(p, "<!--", 4)) {
        close = memmem(p + 4, (size_t)(end - p - 4), "-->", 3);
        return close ? close + 3 : end;
    }
    if (closing) name++;
    if (name == end || !(cyr_isalpha(*name) || *name == '!' || *name == '?')) {
        buf_putc(dst, '<');
        return p + 1;
    }
    while (name + len < end && cyr_isalnum(name[len])) len++;
    p = tag_end(name + len, end);
    if (!is_inline(name, len)) buf_putc(dst, ' ');
    if (!closing && (memcaseeq(name, len, "script", 6) || memcaseeq(name, len, "style", 5)))
        return skip_element(p, end, name, len);
    return p;
}

void charset_strip_html(const char *s, size_t len, struct buf *dst)
{
    const char *p = len ? s : "", *end = p + len;

    while (p < end) {
        const char *start = p;

        while (p < end && *p != '<' && *p != '&') p++;
        buf_appendmap(dst, start, (size_t)(p - start));
        if (p < end) p = (*p == '<' ? read_tag : read_entity)(p, end, dst);
    }
}
