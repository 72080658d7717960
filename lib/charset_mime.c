/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_mime -- transfer encodings of mail undone
 *
 * Whatever the bytes are, something comes out. base64: bytes outside the alphabet
 * are skipped, a '=' ends a group wherever it stands, whole bytes of a broken group
 * count. quoted-printable: a '=' that begins no hex pair and no soft line break is
 * itself; blanks at the end of a line and CRs that end none are left out. The hash
 * of an attachment in a cache record depends on every one of these rules.
 * RFC 2045 §6.7, §6.8.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "charset.h"
#include "charset_int.h"
#include "util.h"

static const struct {
    const char *name;
    enum mime_encoding encoding;
} encodings[] = {
    { "", MIME_ENCODING_NONE },
    { "7BIT", MIME_ENCODING_NONE },
    { "8BIT", MIME_ENCODING_NONE },
    { "BINARY", MIME_ENCODING_NONE },
    { "QUOTED-PRINTABLE", MIME_ENCODING_QP },
    { "BASE64", MIME_ENCODING_BASE64 },
};

enum mime_encoding charset_lookup_encoding(const char *name, size_t len)
{
    for (size_t i = 0; i < array_size(encodings); i++) {
        if (memcaseeq(name, len, encodings[i].name, strlen(encodings[i].name)))
            return encodings[i].encoding;
    }
    return MIME_ENCODING_UNKNOWN;
}

/* ---- base64 ---- */

/* Value of a digit plus one; 0 for any other byte. */
static const unsigned char digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

struct base64_state {
    unsigned bits, nbits; /* read and not yet a byte */
};

static void decode_base64(struct base64_state *st, const char *p, const char *end, struct buf *dst)
{
    char *out;

    buf_ensure(dst, (size_t)(end - p) / 4 * 3 + 4);
    out = dst->s + dst->len;
    for (; p < end; p++) {
        unsigned v = digits[(unsigned char)*p];

        if (!v) {
            if (*p == '=') st->nbits = 0;
            continue;
        }
        st->bits = st->bits << 6 | (v - 1);
        st->nbits += 6;
        if (st->nbits < 8) continue;
        st->nbits -= 8;
        *out++ = (char)(st->bits >> st->nbits);
    }
    dst->len = (size_t)(out - dst->s);
}

/* ---- quoted-printable ---- */

/* The end of the run of blanks at p. */
static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p;
}

static bool at_line_end(const char *p, const char *end)
{
    return p == end || *p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n');
}

/* At '=': what it stands for; returns the place behind it. */
static const char *decode_escape(const char *p, const char *end, struct buf *dst)
{
    const char *q = skip_blanks(p + 1, end);

    if (at_line_end(q, end)) {
        if (q < end && *q == '\r') q++;
        return q < end ? q + 1 : q;
    }
    if (end - p > 2 && hexval(p[1]) >= 0 && hexval(p[2]) >= 0) {
        buf_putc(dst, (char)(hexval(p[1]) << 4 | hexval(p[2])));
        return p + 3;
    }
    buf_putc(dst, '=');
    return p + 1;
}

void charset_decode_qp(const char *p, const char *end, bool word, struct buf *dst)
{
    buf_ensure(dst, (size_t)(end - p));
    while (p < end) {
        char c = *p;

        if (c == '=') {
            p = decode_escape(p, end, dst);
            continue;
        }
        if (c == ' ' || c == '\t') {
            const char *q = skip_blanks(p, end);

            if (!at_line_end(q, end)) buf_appendmap(dst, p, (size_t)(q - p));
            p = q;
            continue;
        }
        if (c != '\r' || at_line_end(p, end)) buf_putc(dst, word && c == '_' ? ' ' : c);
        p++;
    }
}

/* ---- any ---- */

bool charset_decode_mimebody(const char *base, size_t len, enum mime_encoding encoding,
                             struct buf *dst)
{
    struct base64_state st = { 0, 0 };

    if (!len) return encoding != MIME_ENCODING_UNKNOWN;
    switch (encoding) {
    case MIME_ENCODING_NONE: buf_appendmap(dst, base, len); return true;
    case MIME_ENCODING_QP: charset_decode_qp(base, base + len, false, dst); return true;
    case MIME_ENCODING_BASE64: decode_base64(&st, base, base + len, dst); return true;
    case MIME_ENCODING_UNKNOWN: break;
    }
    return false;
}

/* Bytes that are decoded at a time. */
#define CHUNK 65536

/* The end of the next piece: for quoted-printable the end of a line. */
static const char *piece_end(const char *p, const char *end, enum mime_encoding encoding)
{
    const char *lf;

    if (end - p <= CHUNK) return end;
    p += CHUNK;
    if (encoding != MIME_ENCODING_QP) return p;
    lf = memchr(p, '\n', (size_t)(end - p));
    return lf ? lf + 1 : end;
}

bool charset_digest_mimebody(const char *base, size_t len, enum mime_encoding encoding,
                             unsigned char sha1[SHA1_SIZE], size_t *decoded_size)
{
    const char *p = len ? base : "", *end = p + len;
    struct base64_state st = { 0, 0 };
    struct buf piece = BUF_INITIALIZER;
    struct digest *d;

    *decoded_size = 0;
    memset(sha1, 0, SHA1_SIZE);
    if (encoding == MIME_ENCODING_UNKNOWN) return false;
    if (encoding == MIME_ENCODING_NONE) {
        digest_sha1(base, len, sha1);
        *decoded_size = len;
        return true;
    }
    d = digest_new(DIGEST_SHA1);
    while (p < end) {
        const char *next = piece_end(p, end, encoding);

        buf_reset(&piece);
        if (encoding == MIME_ENCODING_BASE64)
            decode_base64(&st, p, next, &piece);
        else
            charset_decode_qp(p, next, false, &piece);
        if (piece.len) digest_update(d, piece.s, piece.len);
        *decoded_size += piece.len;
        p = next;
    }
    digest_final(d, sha1);
    digest_free(d);
    buf_free(&piece);
    return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 72 columns of base64. */
#define LINE_BYTES 54

void charset_encode_base64_lines(const char *base, size_t len, struct buf *dst)
{
    const unsigned char *p = (const unsigned char *)base;

    buf_ensure(dst, len / 3 * 4 + len / LINE_BYTES * 2 + 8);
    for (size_t i = 0; i < len; i += 3) {
        size_t n = cyr_min((size_t)3, len - i);
        unsigned v = (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                     (n > 2 ? (unsigned)p[i + 2] : 0);

        buf_putc(dst, alphabet[v >> 18]);
        buf_putc(dst, alphabet[v >> 12 & 63]);
        buf_putc(dst, n > 1 ? alphabet[v >> 6 & 63] : '=');
        buf_putc(dst, n > 2 ? alphabet[v & 63] : '=');
        if (i + n == len || (i + n) % LINE_BYTES == 0) buf_appendcstr(dst, "\r\n");
    }
}
