/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_search -- the form in which texts are compared by SEARCH
 *
 * The form of a text is its canonical decomposition after NFKC case folding, without
 * combining marks if diacritics don't count, white space dropped or merged as asked.
 * Two texts that look alike have one form, and a part of a text has a part of its
 * form, so searching is finding bytes. Runs of ASCII, which fold to themselves, never
 * see ICU.
 */
#include <config.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>

#include "buf.h"
#include "charset.h"
#include "charset_html.h"
#include "charset_int.h"
#include "util.h"
#include "xmalloc.h"

struct former {
    unsigned flags;
    struct buf *dst;
    bool blank; /* the last thing appended is a merged blank */
};

static void add_space(struct former *f, UChar32 c)
{
    UChar unit = (UChar)c;

    if (f->flags & CHARSET_SKIPSPACE) return;
    if (!(f->flags & CHARSET_MERGESPACE)) {
        charset_append_utf16(&unit, 1, f->dst); /* no white space is beyond the BMP */
        return;
    }
    if (!f->blank) buf_putc(f->dst, ' ');
    f->blank = true;
}

static void add_ascii(struct former *f, const char *p, const char *end)
{
    buf_ensure(f->dst, (size_t)(end - p));
    for (; p < end; p++) {
        if (cyr_isspace(*p)) {
            add_space(f, *p);
            continue;
        }
        buf_putc(f->dst, cyr_tolower(*p));
        f->blank = false;
    }
}

static bool is_mark(UChar32 c)
{
    return u_charType(c) == U_NON_SPACING_MARK || u_getCombiningClass(c);
}

/* Folded and decomposed text. */
static void add_units(struct former *f, const UChar *s, int32_t len)
{
    int32_t i = 0, start = 0;

    while (i < len) {
        int32_t at = i;
        UChar32 c;
        bool space, mark;

        U16_NEXT(s, i, len, c);
        space = u_isUWhiteSpace(c);
        mark = !space && (f->flags & CHARSET_SKIPDIACRIT) && is_mark(c);
        if (!space && !mark) continue;
        if (at > start) {
            charset_append_utf16(s + start, (size_t)(at - start), f->dst);
            f->blank = false;
        }
        if (space) add_space(f, c);
        start = i;
    }
    if (len > start) {
        charset_append_utf16(s + start, (size_t)(len - start), f->dst);
        f->blank = false;
    }
}

/* Runs one normaliser over *s, which becomes a fresh text. */
static bool normalise(const UNormalizer2 *norm, UChar **s, int32_t *len)
{
    UErrorCode err = U_ZERO_ERROR;
    int32_t need = unorm2_normalize(norm, *s, *len, NULL, 0, &err);
    UChar *out;

    if (err != U_BUFFER_OVERFLOW_ERROR && U_FAILURE(err)) return false;
    out = xcalloc((size_t)need + 1, sizeof(*out));
    err = U_ZERO_ERROR;
    *len = unorm2_normalize(norm, *s, *len, out, need + 1, &err);
    free(*s);
    *s = out;
    return U_SUCCESS(err);
}

/* A run that begins and ends with bytes that are not ASCII. */
static void add_foreign(struct former *f, const char *p, size_t n)
{
    UErrorCode err = U_ZERO_ERROR;
    const UNormalizer2 *fold = unorm2_getNFKCCasefoldInstance(&err);
    const UNormalizer2 *decompose = unorm2_getNFDInstance(&err);
    UChar *units = xcalloc(n + 1, sizeof(*units));
    int32_t len = 0;

    if (U_FAILURE(err)) fatal("charset_search: ICU has no normaliser", 70);
    u_strFromUTF8WithSub(units, (int32_t)n + 1, &len, p, (int32_t)n, 0xfffd, NULL, &err);
    if (U_SUCCESS(err) && normalise(fold, &units, &len) && normalise(decompose, &units, &len))
        add_units(f, units, len);
    free(units);
}

/* Longer runs are cut, between characters. */
#define MAX_RUN 65536

static const char *foreign_end(const char *p, const char *end)
{
    const char *limit = end - p > MAX_RUN ? p + MAX_RUN : end;

    while (p < limit && (unsigned char)*p >= 0x80) p++;
    if (p == limit)
        while (p < end && ((unsigned char)*p & 0xc0) == 0x80) p++;
    return p;
}

void charset_utf8_to_searchform(const char *s, size_t len, unsigned flags, struct buf *dst)
{
    struct former f = { flags, dst, false };
    const char *p = len ? s : "", *end = p + len;

    while (p < end) {
        const char *start = p;

        while (p < end && (unsigned char)*p < 0x80) p++;
        add_ascii(&f, start, p);
        if (p == end) break;
        start = p;
        p = foreign_end(p, end);
        add_foreign(&f, start, (size_t)(p - start));
    }
}

bool charset_convert(const char *s, size_t len, charset_t cs, unsigned flags, struct buf *dst)
{
    struct buf text = BUF_INITIALIZER;

    if (!cs) return false;
    charset_to_utf8(s, len, cs, MIME_ENCODING_NONE, &text);
    charset_utf8_to_searchform(text.s, text.len, flags, dst);
    buf_free(&text);
    return true;
}

bool charset_searchstring(const char *pat, size_t patlen, const char *s, size_t len)
{
    return !patlen || (len >= patlen && memmem(s, len, pat, patlen));
}

/* Is the pattern in the form of this UTF-8? */
static bool search_text(const char *pat, size_t patlen, const struct buf *text, unsigned flags)
{
    struct buf form = BUF_INITIALIZER;
    bool found;

    charset_utf8_to_searchform(text->s, text->len, flags, &form);
    found = charset_searchstring(pat, patlen, form.s, form.len);
    buf_free(&form);
    return found;
}

bool charset_search_mimeheader(const char *pat, size_t patlen, const char *s, size_t len,
                               unsigned flags)
{
    struct buf text = BUF_INITIALIZER;
    bool found;

    if (!patlen) return true;
    charset_decode_mimeheader(s, len, (flags & CHARSET_UTF8HEADERS) != 0, &text);
    found = search_text(pat, patlen, &text, flags);
    buf_free(&text);
    return found;
}

bool charset_searchfile(const char *pat, size_t patlen, const char *base, size_t len, charset_t cs,
                        enum mime_encoding encoding, const char *subtype, unsigned flags)
{
    struct buf text = BUF_INITIALIZER;
    bool found;

    if (!patlen) return true;
    if (!charset_to_utf8(base, len, cs, encoding, &text)) return false;
    if (subtype && (flags & CHARSET_SKIPHTML) && !cyr_strcasecmp(subtype, "HTML")) {
        struct buf plain = BUF_INITIALIZER;

        charset_strip_html(text.s, text.len, &plain);
        buf_move(&text, &plain);
    }
    found = search_text(pat, patlen, &text, flags);
    buf_free(&text);
    return found;
}
