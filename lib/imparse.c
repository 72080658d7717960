/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imparse -- reading the tokens of IMAP-like protocols from a stream
 *
 * Each reader looks at the limits of the stream while it reads, so no token can take
 * more memory than is allowed. A literal that is too large is never asked for; if its
 * bytes come unasked, the connection has to end. maxargssize is looked at when a
 * token begins and before the bytes of a literal are read.
 */
#include <config.h>

#include "imparse.h"

#include <string.h>

#include "buf.h"
#include "prot_int.h"
#include "utf7.h"
#include "util.h"

#define LITERALMINUS_MAX 4096 /* RFC 7888 */

const char *imparse_text(int r)
{
    static const char *const texts[] = {
        [-IMPARSE_EOF] = "",
        [-IMPARSE_BAD] = "",
        [-IMPARSE_TOOBIG] = "[TOOBIG] Literal size exceeds fixed limit",
        [-IMPARSE_BYE_LITERAL] = "[TOOBIG] Literal size exceeds fixed limit",
        [-IMPARSE_BYE_LITERALMINUS] = "[TOOBIG] Non-synchronizing literal size exceeds 4K",
        [-IMPARSE_BYE_WORD] = "[TOOBIG] Word too long",
        [-IMPARSE_BYE_QUOTED] = "[TOOBIG] Quoted value too long",
        [-IMPARSE_BYE_NUMBER] = "num too big",
        [-IMPARSE_BYE_ARGS] = "[TOOBIG] Command arguments total size exceeds fixed limit",
    };

    if (r >= 0 || -r >= (int)array_size(texts)) return "";
    return texts[-r];
}

static int bad(struct protstream *in, int c)
{
    prot_ungetc(c, in);
    return IMPARSE_BAD;
}

static bool args_too_long(struct protstream *in, uint64_t more)
{
    size_t max = prot_limits(in)->maxargssize;

    return max && (more > max || prot_commandbytes(in) > max - more);
}

/* ---- words ---- */

static bool is_blank_end(int c)
{
    return c == ' ' || c == '\r' || c == '\n';
}

static bool is_word_end(int c)
{
    return is_blank_end(c) || c == '(' || c == ')' || c == '"';
}

/* A word that ends its line in "{n+}" was no literal for whoever read it, but its sender goes on with
 * n bytes: eatline() has to know. */
static void note_announced(struct protstream *in, const struct buf *word)
{
    const char *p, *end = word->s + word->len - 2;
    uint64_t size;

    if (word->len < 4 || memcmp(end, "+}", 2)) return;
    for (p = end; p > word->s && cyr_isdigit(p[-1]); p--) continue;
    if (p == word->s || p[-1] != '{' || parse_u64(p, (size_t)(end - p), &size)) return;
    in->announced = size;
    in->announced_at = prot_bytes(in);
}

/* Append bytes up to one that ends the word. NUL is no part of any. */
static int read_word(struct protstream *in, struct buf *buf, bool (*is_end)(int))
{
    size_t max = prot_limits(in)->maxword;
    int c;

    if (args_too_long(in, 0)) return IMPARSE_BYE_ARGS;
    while ((c = prot_getc(in)) != EOF && !is_end(c)) {
        if (!c) return bad(in, c);
        if (max && buf->len >= max) return IMPARSE_BYE_WORD;
        buf_putc(buf, (char)c);
    }
    buf_cstring(buf);
    if (c == '\r' || c == '\n') note_announced(in, buf);
    return c;
}

int getword(struct protstream *in, struct buf *buf)
{
    buf_reset(buf);
    return read_word(in, buf, is_word_end);
}

int getblankword(struct protstream *in, struct buf *buf)
{
    buf_reset(buf);
    return read_word(in, buf, is_blank_end);
}

/* ---- strings ---- */

/* Behind the opening quote. */
static int read_quoted(struct protstream *in, struct buf *buf)
{
    size_t max = prot_limits(in)->maxquoted;
    int c;

    if (args_too_long(in, 0)) return IMPARSE_BYE_ARGS;
    while ((c = prot_getc(in)) != '"') {
        if (c == '\\') c = prot_getc(in);
        if (c == EOF) return IMPARSE_EOF;
        if (!c || c == '\r' || c == '\n') return bad(in, c);
        if (max && buf->len >= max) return IMPARSE_BYE_QUOTED;
        buf_putc(buf, (char)c);
    }
    buf_cstring(buf);
    if (prot_limits(in)->utf8 && !utf8_isvalid(buf->s, buf->len)) return IMPARSE_BAD;
    return prot_getc(in);
}

/* Behind "{": digits, "+", "}", end of line. */
static int read_literal_header(struct protstream *in, struct imparse_literal *lit)
{
    int c = getuint64(in, &lit->size);

    if (c < 0) return c;
    if (c == '+') {
        lit->nonsync = true;
        c = prot_getc(in);
    }
    if (c == EOF) return IMPARSE_EOF;
    if (c != '}') return bad(in, c);
    c = prot_getc(in);
    if (c == '\r') c = prot_getc(in);
    if (c == EOF) return IMPARSE_EOF;
    return c == '\n' ? 0 : bad(in, c);
}

static int check_literal(struct protstream *in, const struct imparse_literal *lit)
{
    const struct prot_limits *limits = prot_limits(in);

    if (lit->nonsync && limits->literalminus && lit->size > LITERALMINUS_MAX)
        return IMPARSE_BYE_LITERALMINUS;
    if (limits->maxliteral && lit->size > limits->maxliteral)
        return lit->nonsync ? IMPARSE_BYE_LITERAL : IMPARSE_TOOBIG;
    if (args_too_long(in, lit->size)) return IMPARSE_BYE_ARGS;
    return lit->size > SIZE_MAX ? IMPARSE_BYE_NUMBER : 0;
}

/* Behind "{". Client ends take the bytes as they come. */
static int read_literal(struct protstream *in, struct protstream *out, struct buf *buf, bool nul)
{
    struct imparse_literal lit = { .size = 0 };
    int r = read_literal_header(in, &lit);

    if (!r) r = check_literal(in, &lit);
    if (r) return r;
    if (out && !prot_isclient(in) && imparse_goahead(out, &lit)) return IMPARSE_EOF;
    if (prot_readbuf(in, buf, (size_t)lit.size)) return IMPARSE_EOF;
    if (!nul && memchr(buf_cstring(buf), '\0', buf->len)) return IMPARSE_BAD;
    buf_cstring(buf);
    return prot_getc(in);
}

enum accept {
    ACCEPT_ATOM = 1,
    ACCEPT_LITERAL = 2,
    ACCEPT_LITERAL8 = 4, /* and NULs */
    ACCEPT_NIL = 8
};

static bool has_8bit(const struct buf *buf)
{
    for (size_t i = 0; i < buf->len; i++)
        if (buf->s[i] & 0x80) return true;
    return false;
}

/* An atom may not begin like something else; an empty one is none. */
static int read_atom(struct protstream *in, struct buf *buf, unsigned accept, bool *isnil)
{
    int c = read_word(in, buf, is_word_end);

    if (c < 0) return c;
    bool nil = (accept & ACCEPT_NIL) && memcaseeq(buf->s, buf->len, "NIL", 3);
    if (!buf->len || (!nil && !(accept & ACCEPT_ATOM))) return bad(in, c);
    if (prot_limits(in)->utf8 && has_8bit(buf)) return bad(in, c);
    if (nil) {
        buf_reset(buf);
        buf_cstring(buf);
        *isnil = true;
    }
    return c;
}

static int read_string(struct protstream *in, struct protstream *out, struct buf *buf,
                       unsigned accept, bool *isnil, bool *isbinary)
{
    int c = prot_getc(in);

    buf_reset(buf);
    *isnil = *isbinary = false;
    if (c == EOF) return IMPARSE_EOF;
    if (c == '"') return read_quoted(in, buf);
    if (c == '{' && (accept & ACCEPT_LITERAL))
        return read_literal(in, out, buf, (accept & ACCEPT_LITERAL8) != 0);
    if (c == '~' && (accept & ACCEPT_LITERAL8) && prot_peek(in) == '{') {
        prot_getc(in);
        *isbinary = true;
        return read_literal(in, out, buf, true);
    }
    prot_ungetc(c, in);
    if (accept & (ACCEPT_ATOM | ACCEPT_NIL)) return read_atom(in, buf, accept, isnil);
    return IMPARSE_BAD;
}

int getastring(struct protstream *in, struct protstream *out, struct buf *buf)
{
    bool isnil, isbinary;

    return read_string(in, out, buf, ACCEPT_ATOM | ACCEPT_LITERAL, &isnil, &isbinary);
}

int getnastring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil)
{
    bool nil, isbinary;

    return read_string(in, out, buf, ACCEPT_ATOM | ACCEPT_LITERAL | ACCEPT_NIL,
                       isnil ? isnil : &nil, &isbinary);
}

int getstring(struct protstream *in, struct protstream *out, struct buf *buf)
{
    bool isnil, isbinary;

    return read_string(in, out, buf, ACCEPT_LITERAL, &isnil, &isbinary);
}

int getnstring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil)
{
    bool nil, isbinary;

    return read_string(in, out, buf, ACCEPT_LITERAL | ACCEPT_NIL, isnil ? isnil : &nil, &isbinary);
}

int getqstring(struct protstream *in, struct buf *buf)
{
    bool isnil, isbinary;

    return read_string(in, NULL, buf, 0, &isnil, &isbinary);
}

int getbastring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isbinary)
{
    bool isnil, binary;

    return read_string(in, out, buf, ACCEPT_ATOM | ACCEPT_LITERAL | ACCEPT_LITERAL8, &isnil,
                       isbinary ? isbinary : &binary);
}

int getbnstring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil)
{
    bool nil, isbinary;

    return read_string(in, out, buf, ACCEPT_LITERAL | ACCEPT_LITERAL8 | ACCEPT_NIL,
                       isnil ? isnil : &nil, &isbinary);
}

int getliteralheader(struct protstream *in, struct imparse_literal *lit)
{
    int c = prot_getc(in);

    memset(lit, 0, sizeof(*lit));
    if (c == '~') {
        lit->binary = true;
        c = prot_getc(in);
    }
    if (c == EOF) return IMPARSE_EOF;
    if (c != '{') return bad(in, c);
    return read_literal_header(in, lit);
}

int imparse_goahead(struct protstream *out, const struct imparse_literal *lit)
{
    if (lit->nonsync) return 0;
    prot_puts(out, "+ go ahead\r\n");
    return prot_flush(out);
}

/* ---- numbers ---- */

static int read_number(struct protstream *in, uint64_t max, uint64_t *num)
{
    int c = prot_getc(in);

    *num = 0;
    if (c == EOF) return IMPARSE_EOF;
    if (!cyr_isdigit((char)c)) return bad(in, c);
    for (; c != EOF && cyr_isdigit((char)c); c = prot_getc(in)) {
        unsigned digit = (unsigned)c - '0';
        if (*num > (max - digit) / 10) return IMPARSE_BYE_NUMBER;
        *num = *num * 10 + digit;
    }
    return c;
}

/* max is that of the positive numbers. */
static int read_signed(struct protstream *in, uint64_t max, int64_t *num)
{
    int c = prot_getc(in);
    bool minus = c == '-';
    uint64_t n;

    if (c == EOF) return IMPARSE_EOF;
    if (!minus) prot_ungetc(c, in);
    c = read_number(in, max, &n);
    *num = minus ? -(int64_t)n : (int64_t)n;
    return c;
}

int getuint32(struct protstream *in, uint32_t *num)
{
    uint64_t n;
    int c = read_number(in, UINT32_MAX, &n);

    *num = (uint32_t)n;
    return c;
}

int getint32(struct protstream *in, int32_t *num)
{
    int64_t n = 0;
    int c = read_signed(in, INT32_MAX, &n);

    *num = (int32_t)n;
    return c;
}

int getuint64(struct protstream *in, uint64_t *num)
{
    return read_number(in, UINT64_MAX, num);
}

int getint64(struct protstream *in, int64_t *num)
{
    *num = 0;
    return read_signed(in, INT64_MAX, num);
}

int getmodseq(struct protstream *in, uint64_t *num)
{
    return read_number(in, INT64_MAX, num);
}

int getsequence(struct protstream *in, struct buf *buf)
{
    int c = getword(in, buf);

    if (c < 0) return c;
    return imparse_issequence(buf_cstring(buf)) ? c : bad(in, c);
}

/* ---- the end of the line ---- */

int imparse_eol(struct protstream *in, int c)
{
    if (c != '\r') return c;
    c = prot_getc(in);
    if (c == EOF) return IMPARSE_EOF;
    return c == '\n' ? c : bad(in, c);
}
