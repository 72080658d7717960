/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset -- text of mail as UTF-8: transfer encodings, charsets, header words, search form
 *
 * Built on ICU's converters and normaliser. Nothing fails because of bad bytes:
 * what can't be converted becomes U+FFFD, what can't be decoded is left out, as a
 * reader of mail would want. Lengths are bytes; text is UTF-8 unless said otherwise.
 * RFC 2045, RFC 2047; handbook 02 §4.3, §4.5; 04 §3.14.
 */
#ifndef CYL_CHARSET_H
#define CYL_CHARSET_H

#include <stdbool.h>
#include <stddef.h>

#include "digest.h"

struct buf;

/* ---- transfer encodings (RFC 2045 §6) ---- */

/* The numbers are those of the SECTION item of a cache record. */
enum mime_encoding {
    MIME_ENCODING_NONE = 0, /* 7BIT, 8BIT, BINARY */
    MIME_ENCODING_QP = 1,
    MIME_ENCODING_BASE64 = 2,
    MIME_ENCODING_UNKNOWN = 255,
};
/* By name, any case; an empty name is 7BIT. */
enum mime_encoding charset_lookup_encoding(const char *name, size_t len);
/* Append the decoded bytes; false for MIME_ENCODING_UNKNOWN, which decodes to nothing. */
bool charset_decode_mimebody(const char *base, size_t len, enum mime_encoding encoding,
                             struct buf *dst);
/* SHA-1 and number of the decoded bytes, without keeping them; false (and zeros): unknown. */
bool charset_digest_mimebody(const char *base, size_t len, enum mime_encoding encoding,
                             unsigned char sha1[SHA1_SIZE], size_t *decoded_size);
/* Append base64 in lines of 72 characters, each ended by CRLF. */
void charset_encode_base64_lines(const char *base, size_t len, struct buf *dst);

/* ---- charsets ---- */

typedef struct charset *charset_t;
/* NULL: not a charset that is known here. One handle serves one conversion at a time. */
charset_t charset_lookupname(const char *name, size_t len);
void charset_free(charset_t *csp);
/* Would charset_lookupname() find it? Remembers its answers. */
bool charset_is_known(const char *name, size_t len);
/*
 * Append the text as UTF-8: transfer encoding undone, charset converted, bad sequences
 * U+FFFD, a byte order mark at the start left out. cs NULL: unknown, every byte above 127
 * becomes U+FFFD. false as charset_decode_mimebody().
 */
bool charset_to_utf8(const char *base, size_t len, charset_t cs, enum mime_encoding encoding,
                     struct buf *dst);
/* Is it well-formed UTF-8? */
bool charset_utf8_valid(const char *s, size_t len);

/* ---- header words (RFC 2047) ---- */

/*
 * Append a field value with its encoded words decoded. utf8: raw UTF-8 is text too (option
 * rfc2047_utf8); otherwise each byte above 127 outside encoded words becomes U+FFFD.
 */
void charset_decode_mimeheader(const char *s, size_t len, bool utf8, struct buf *dst);
/* Append the text as encoded words where it needs to be, folded at 76 columns. */
void charset_encode_mimeheader(const char *s, size_t len, struct buf *dst);

/* ---- search form: two texts match when one's form is inside the other's ---- */

#define CHARSET_SKIPDIACRIT 1u /* without diacritics */
#define CHARSET_SKIPSPACE 2u   /* without white space */
#define CHARSET_MERGESPACE 4u  /* a run of white space is one blank */
#define CHARSET_SKIPHTML 8u    /* text/html: leave the markup out (charset_searchfile) */
#define CHARSET_UTF8HEADERS 16u /* raw UTF-8 in headers (charset_search_mimeheader) */

/* Append the search form of UTF-8 text. */
void charset_utf8_to_searchform(const char *s, size_t len, unsigned flags, struct buf *dst);
/* The same of text in a charset; false when cs is NULL. */
bool charset_convert(const char *s, size_t len, charset_t cs, unsigned flags, struct buf *dst);
/* Is the pattern (a search form) inside the text, a search form too? An empty pattern is. */
bool charset_searchstring(const char *pat, size_t patlen, const char *s, size_t len);
/* Is the pattern in the search form of this (not yet decoded) header value? */
bool charset_search_mimeheader(const char *pat, size_t patlen, const char *s, size_t len,
                               unsigned flags);
/* ... of this encoded body part? subtype: "HTML" obeys CHARSET_SKIPHTML; NULL: plain. */
bool charset_searchfile(const char *pat, size_t patlen, const char *base, size_t len,
                        charset_t cs, enum mime_encoding encoding, const char *subtype,
                        unsigned flags);

#endif
