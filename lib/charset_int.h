/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_int -- what the files of the charset module share
 */
#ifndef CYL_CHARSET_INT_H
#define CYL_CHARSET_INT_H

#include <unicode/ucnv.h>

#include "charset.h"

/* U+FFFD, what stands for anything that is no text. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

struct charset {
    UConverter *cnv; /* NULL for UTF-8, which is read by our own decoder */
};

/* Quoted-printable of [p, end); word: of an encoded word, where '_' is a blank. */
void charset_decode_qp(const char *p, const char *end, bool word, struct buf *dst);
/* Append the bytes as UTF-8, a sequence that the end cuts left out. */
void charset_append_utf8(const char *s, size_t len, struct buf *dst);
/* Append bytes in that charset as UTF-8; cs NULL: unknown. */
void charset_append_converted(const char *s, size_t len, charset_t cs, struct buf *dst);
/* Append UTF-16 as UTF-8; a surrogate alone becomes U+FFFD. */
void charset_append_utf16(const UChar *s, size_t len, struct buf *dst);

#endif
