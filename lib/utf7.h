/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * utf7 -- mailbox names in modified UTF-7 (RFC 3501 §5.1.3) and in UTF-8
 */
#ifndef CYL_UTF7_H
#define CYL_UTF7_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* True for well-formed UTF-8 without surrogates (RFC 3629). NUL is a valid byte here. */
bool utf8_isvalid(const char *s, size_t len);

/*
 * Reads one code point at *p < end and moves *p behind it; -1 for an ill-formed
 * sequence (then *p moves one byte).
 */
int utf8_next(const char **p, const char *end);
/* Appends one code point (0..10FFFF, no surrogate) as UTF-8. */
void utf8_append(struct buf *dst, int codepoint);

/*
 * Strict: the encoding must be the one canonical form (printable ASCII stands for
 * itself, no superfluous shifts, no stray bits, no lone surrogates).
 */
bool utf7_isvalid(const char *s, size_t len);
/* Appends UTF-8 to dst. 0, or -EINVAL for text that is not valid (dst as before). */
int utf7_to_utf8(const char *s, size_t len, struct buf *dst);
/*
 * Appends modified UTF-7 to dst. 0, or -EINVAL for text that is not UTF-8 or has control
 * characters (dst as before).
 */
int utf8_to_utf7(const char *s, size_t len, struct buf *dst);

#endif
