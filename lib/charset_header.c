/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_header -- encoded words of header fields (RFC 2047), both ways
 *
 * Reading is forgiving: an encoded word counts wherever it stands, and may hold
 * blanks. What only looks like one is text. UTF-8 characters that were cut between
 * two words of the same kind are put together again; words in other charsets stand
 * for themselves, as their shift states do.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "charset.h"
#include "charset_int.h"
#include "util.h"

struct word {
    const char *charset, *text, *end; /* end: behind the whole word */
    size_t charset_len, text_len;
    char encoding; /* 'q' or 'b' */
};

static bool in_charset_name(char c)
{
    return c != '?' && c != '=' && c != '\r' && c != '\n';
}

/* Is there an encoded word at p? A language behind '*' is left out (RFC 2231 §5). */
static bool parse_word(const char *p, const char *end, struct word *w)
{
    const char *mark, *star, *stop;

    if (end - p < 8 || p[0] != '=' || p[1] != '?') return false;
    w->charset = p + 2;
    for (mark = w->charset; mark < end && in_charset_name(*mark); mark++) {}
    if (end - mark < 5 || mark[0] != '?' || mark[2] != '?') return false;

    star = memchr(w->charset, '*', (size_t)(mark - w->charset));
    w->charset_len = (size_t)((star ? star : mark) - w->charset);
    w->encoding = cyr_tolower(mark[1]);
    if (w->encoding != 'q' && w->encoding != 'b') return false;

    w->text = mark + 3;
    stop = memchr(w->text, '?', (size_t)(end - w->text));
    if (!stop || stop + 1 == end || stop[1] != '=') return false;
    w->text_len = (size_t)(stop - w->text);
    w->end = stop + 2;
    return true;
}

/*
 * What words in UTF-8 of one encoding said, not yet characters: bytes, or for base64 its digits,
 * which go on from word to word.
 */
struct pending {
    struct buf bytes;
    char encoding; /* 0: nothing is pending */
};

static void flush(struct pending *pending, struct buf *dst)
{
    if (pending->encoding == 'q')
        charset_append_utf8(pending->bytes.s, pending->bytes.len, dst);
    else if (pending->encoding) {
        struct buf bytes = BUF_INITIALIZER;

        charset_decode_mimebody(pending->bytes.s, pending->bytes.len, MIME_ENCODING_BASE64, &bytes);
        charset_append_utf8(bytes.s, bytes.len, dst);
        buf_free(&bytes);
    }
    buf_reset(&pending->bytes);
    pending->encoding = 0;
}

static void decode_text(const struct word *w, struct buf *dst)
{
    if (w->encoding == 'q')
        charset_decode_qp(w->text, w->text + w->text_len, true, dst);
    else
        charset_decode_mimebody(w->text, w->text_len, MIME_ENCODING_BASE64, dst);
}

static void add_pending(const struct word *w, struct pending *pending, struct buf *dst)
{
    if (pending->encoding != w->encoding) flush(pending, dst);
    pending->encoding = w->encoding;
    if (w->encoding == 'q')
        decode_text(w, &pending->bytes);
    else
        buf_appendmap(&pending->bytes, w->text, w->text_len);
}

static void decode_word(const struct word *w, struct pending *pending, struct buf *dst)
{
    charset_t cs = charset_lookupname(w->charset, w->charset_len);

    if (!cs) {
        flush(pending, dst);
        buf_appendcstr(dst, UTF8_REPLACEMENT);
        return;
    }
    if (cs->cnv) {
        struct buf bytes = BUF_INITIALIZER;

        flush(pending, dst);
        decode_text(w, &bytes);
        charset_append_converted(bytes.s, bytes.len, cs, dst);
        buf_free(&bytes);
    }
    else {
        add_pending(w, pending, dst);
    }
    charset_free(&cs);
}

/* Text outside encoded words, without the line ends of folds. */
static void append_plain(const char *p, const char *end, bool utf8, struct buf *dst)
{
    while (p < end) {
        const char *q = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t len = (size_t)((q ? q : end) - p);

        if (utf8)
            charset_append_utf8(p, len, dst);
        else
            charset_append_converted(p, len, NULL, dst);
        p = q ? q + 2 : end;
    }
}

static bool is_white(const char *p, const char *end)
{
    while (p < end && cyr_isspace(*p)) p++;
    return p == end;
}

void charset_decode_mimeheader(const char *s, size_t len, bool utf8, struct buf *dst)
{
    const char *p = len ? s : "", *end = p + len, *text = p;
    struct pending pending = { BUF_INITIALIZER, 0 };
    bool after_word = false;
    struct word w;

    while (p < end) {
        p = memchr(p, '=', (size_t)(end - p));
        if (!p) break;
        if (!parse_word(p, end, &w)) {
            p++;
            continue;
        }
        if (!after_word || !is_white(text, p)) {
            flush(&pending, dst);
            append_plain(text, p, utf8, dst);
        }
        decode_word(&w, &pending, dst);
        after_word = true;
        p = text = w.end;
    }
    flush(&pending, dst);
    append_plain(text, end, utf8, dst);
    buf_free(&pending.bytes);
}

/* ---- writing ---- */

/* Columns of one encoded word: with the blank of a fold a line of 76. */
#define MAX_WORD 75

static bool is_plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= 0x7f || (c < ' ' && c != '\t')) return false;
        if (c == '=' && i + 1 < len && s[i + 1] == '?') return false;
    }
    return true;
}

/* Columns that a byte takes in a Q word. */
static size_t q_width(unsigned char c)
{
    return cyr_isalnum((char)c) || c == ' ' || (c && strchr("!*+-/", c)) ? 1 : 3;
}

static void append_q(unsigned char c, struct buf *dst)
{
    if (c == ' ')
        buf_putc(dst, '_');
    else if (q_width(c) == 1)
        buf_putc(dst, (char)c);
    else
        buf_printf(dst, "=%02X", c);
}

/* Bytes of the character at p. */
static size_t char_length(const unsigned char *p, const unsigned char *end)
{
    size_t n = 1;

    while (p + n < end && n < 4 && (p[n] & 0xc0) == 0x80) n++;
    return n;
}

void charset_encode_mimeheader(const char *s, size_t len, struct buf *dst)
{
    static const char begin[] = "=?UTF-8?Q?", stop[] = "?=";
    const unsigned char *p = (const unsigned char *)s, *end = p + len;
    size_t room;

    if (is_plain(s, len)) {
        buf_appendmap(dst, s, len);
        return;
    }
    buf_appendcstr(dst, begin);
    room = MAX_WORD - strlen(begin) - strlen(stop);
    while (p < end) {
        size_t n = char_length(p, end), width = 0;

        for (size_t i = 0; i < n; i++) width += q_width(p[i]);
        if (width > room) {
            buf_appendcstr(dst, stop);
            buf_appendcstr(dst, "\r\n ");
            buf_appendcstr(dst, begin);
            room = MAX_WORD - strlen(begin) - strlen(stop);
        }
        room -= width;
        while (n--) append_q(*p++, dst);
    }
    buf_appendcstr(dst, stop);
}
