/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset -- bytes in a charset become UTF-8
 *
 * ICU knows the charsets; a few names that mail uses and ICU does not know, or
 * understands more narrowly than mail means them, are a table. UTF-8 is read here:
 * a wrong byte becomes U+FFFD, so does a surrogate; a sequence that is longer than it
 * has to be is taken as if it were not, and one that the end of the text cuts is left
 * out. Cache records depend on these rules.
 */
#include <config.h>

#include "charset.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <unicode/utf16.h>

#include "buf.h"
#include "charset_int.h"
#include "hash.h"
#include "util.h"
#include "xmalloc.h"

/* A longer name is not a charset. */
#define MAX_NAME 128

/* Names that ICU does not know. */
static const struct {
    const char *name, *icu;
} aliases[] = {
    { "none", "windows-1252" },         { "unknown", "windows-1252" },
    { "unknown-8bit", "windows-1252" }, { "win-1252", "windows-1252" },
    { "x-unknown", "windows-1252" },    { "x-user-defined", "windows-1252" },
};

/* Charsets of which mail means the larger one: by ICU's name of the smaller. */
static const struct {
    const char *icu, *larger;
} larger_sets[] = {
    { "ISO-8859-1", "windows-1252" }, { "ibm-1383_P110-1999", "gbk" }, /* gb2312 */
};

static UConverter *try_open(const char *name)
{
    UErrorCode err = U_ZERO_ERROR;
    UConverter *cnv = ucnv_open(name, &err);

    if (U_SUCCESS(err)) return cnv;
    if (cnv) ucnv_close(cnv);
    return NULL;
}

static UConverter *open_converter(const char *name)
{
    UErrorCode err = U_ZERO_ERROR;
    UConverter *cnv;

    for (size_t i = 0; i < array_size(aliases); i++) {
        if (!cyr_strcasecmp(name, aliases[i].name)) name = aliases[i].icu;
    }
    cnv = try_open(name);
    if (!cnv) return NULL;
    for (size_t i = 0; i < array_size(larger_sets); i++) {
        if (strcmp(ucnv_getName(cnv, &err), larger_sets[i].icu)) continue;
        ucnv_close(cnv);
        return try_open(larger_sets[i].larger);
    }
    return cnv;
}

charset_t charset_lookupname(const char *name, size_t len)
{
    UErrorCode err = U_ZERO_ERROR;
    char text[MAX_NAME];
    charset_t cs;
    UConverter *cnv;

    if (!len || len >= sizeof(text) || memchr(name, '\0', len)) return NULL;
    memcpy(text, name, len);
    text[len] = '\0';
    cnv = open_converter(text);
    if (!cnv) return NULL;

    cs = xzmalloc(sizeof(*cs));
    if (strcmp(ucnv_getName(cnv, &err), "UTF-8"))
        cs->cnv = cnv;
    else
        ucnv_close(cnv);
    return cs;
}

void charset_free(charset_t *csp)
{
    if (!*csp) return;
    if ((*csp)->cnv) ucnv_close((*csp)->cnv);
    xzfree(*csp);
}

/* Names that were asked for; a mail can't make it grow for ever. */
#define MAX_REMEMBERED 512

bool charset_is_known(const char *name, size_t len)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static hash_table answers = HASH_TABLE_INITIALIZER;
    static char yes, no;
    char key[MAX_NAME];
    charset_t cs;
    void *answer;

    if (!len || len >= sizeof(key) || memchr(name, '\0', len)) return false;
    memcpy(key, name, len);
    key[len] = '\0';

    pthread_mutex_lock(&lock);
    answer = hash_lookup(key, &answers);
    if (!answer) {
        cs = charset_lookupname(key, len);
        answer = cs ? &yes : &no;
        charset_free(&cs);
        if (hash_numrecords(&answers) >= MAX_REMEMBERED) free_hash_table(&answers, NULL);
        hash_insert(key, answer, &answers);
    }
    pthread_mutex_unlock(&lock);
    return answer == &yes;
}

/* ---- UTF-8 ---- */

/* A surrogate becomes U+FFFD. */
static void append_codepoint(UChar32 c, struct buf *dst)
{
    char out[4];
    size_t n = 0;

    if (U_IS_SURROGATE(c)) c = 0xfffd;
    if (c < 0x80) {
        out[n++] = (char)c;
    }
    else if (c < 0x800) {
        out[n++] = (char)(0xc0 | c >> 6);
    }
    else if (c < 0x10000) {
        out[n++] = (char)(0xe0 | c >> 12);
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    else {
        out[n++] = (char)(0xf0 | c >> 18);
        out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80) out[n++] = (char)(0x80 | (c & 0x3f));
    buf_appendmap(dst, out, n);
}

/* Bytes of a sequence that begins with this one; 0: none does. */
static unsigned sequence_length(unsigned char c)
{
    if (c < 0x80) return 1;
    if (c < 0xc2) return 0;
    if (c < 0xe0) return 2;
    if (c < 0xf0) return 3;
    return c < 0xf5 ? 4 : 0;
}

/* What the whole sequence of n bytes says, were it allowed. */
static UChar32 sequence_value(const unsigned char *p, unsigned n)
{
    UChar32 c = n == 1 ? p[0] : p[0] & (0x7f >> n);

    for (unsigned i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3f);
    return c;
}

static bool is_character(const unsigned char *p, unsigned n)
{
    static const UChar32 least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    UChar32 c = sequence_value(p, n);

    return c >= least[n] && c <= 0x10ffff && !U_IS_SURROGATE(c);
}

/* Continuation bytes behind p, at most `want`. */
static unsigned continuation(const unsigned char *p, const unsigned char *end, unsigned want)
{
    unsigned n = 0;

    while (n < want && p + 1 + n < end && (p[1 + n] & 0xc0) == 0x80) n++;
    return n;
}

static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
    uint64_t word;

    while (end - p >= 8) {
        memcpy(&word, p, 8);
        if (word & UINT64_C(0x8080808080808080)) break;
        p += 8;
    }
    while (p < end && *p < 0x80) p++;
    return p;
}

void charset_append_utf8(const char *s, size_t len, struct buf *dst)
{
    const unsigned char *p = (const unsigned char *)(len ? s : ""), *end = p + len;

    while (p < end) {
        const unsigned char *ascii = p;
        unsigned n, have;

        p = skip_ascii(p, end);
        buf_appendmap(dst, ascii, (size_t)(p - ascii));
        if (p == end) return;

        n = sequence_length(*p);
        have = n ? 1 + continuation(p, end, n - 1) : 1;
        if (n && have < n && p + have == end) return;
        if (have == n && is_character(p, n))
            buf_appendmap(dst, p, n);
        else if (have == n && sequence_value(p, n) <= 0x10ffff)
            append_codepoint(sequence_value(p, n), dst);
        else
            buf_appendcstr(dst, UTF8_REPLACEMENT);
        p += have;
    }
}

bool charset_utf8_valid(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)(len ? s : ""), *end = p + len;

    for (;;) {
        unsigned n;

        p = skip_ascii(p, end);
        if (p == end) return true;
        n = sequence_length(*p);
        if (!n || 1 + continuation(p, end, n - 1) < n || !is_character(p, n)) return false;
        p += n;
    }
}

/* ---- the others ---- */

void charset_append_utf16(const UChar *s, size_t len, struct buf *dst)
{
    for (size_t i = 0; i < len;) {
        UChar32 c;

        U16_NEXT(s, i, len, c);
        append_codepoint(c, dst);
    }
}

static void append_unknown(const char *s, size_t len, struct buf *dst)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < 0x80)
            buf_putc(dst, s[i]);
        else
            buf_appendcstr(dst, UTF8_REPLACEMENT);
    }
}

/* Units of UTF-16 that are converted at a time. */
#define CHUNK 4096

void charset_append_converted(const char *s, size_t len, charset_t cs, struct buf *dst)
{
    const char *end;
    size_t held = 0; /* half a pair from the round before */
    UChar units[CHUNK + 1];
    UErrorCode err;

    if (!cs || !cs->cnv) {
        (cs ? charset_append_utf8 : append_unknown)(s, len, dst);
        return;
    }
    if (!len) return;
    end = s + len;
    ucnv_resetToUnicode(cs->cnv);
    do {
        UChar *out = units + held;
        size_t n;

        err = U_ZERO_ERROR;
        ucnv_toUnicode(cs->cnv, &out, units + CHUNK + 1, &s, end, NULL, true, &err);
        n = (size_t)(out - units);
        held = err == U_BUFFER_OVERFLOW_ERROR && n && U16_IS_LEAD(units[n - 1]);
        charset_append_utf16(units, n - held, dst);
        if (held) units[0] = units[n - 1];
    } while (err == U_BUFFER_OVERFLOW_ERROR);
}

bool charset_to_utf8(const char *base, size_t len, charset_t cs, enum mime_encoding encoding,
                     struct buf *dst)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct buf plain = BUF_INITIALIZER;
    size_t start = dst->len;

    if (encoding == MIME_ENCODING_NONE)
        buf_init_ro(&plain, base, len);
    else if (!charset_decode_mimebody(base, len, encoding, &plain))
        return false;
    charset_append_converted(plain.s, plain.len, cs, dst);
    buf_free(&plain);
    if (dst->len - start >= 3 && !memcmp(dst->s + start, bom, 3)) buf_remove(dst, start, 3);
    return true;
}
