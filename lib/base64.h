/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base64 -- RFC 4648 base64, both alphabets
 */
#ifndef CYL_BASE64_H
#define CYL_BASE64_H

#include <stddef.h>

struct buf;

#define BASE64_URL 1u    /* '-' '_' for '+' '/' */
#define BASE64_NOPAD 2u  /* encode: write no '='; decode: none needed */
/* decode: skip bytes outside the alphabet (MIME, RFC 2045 §6.8), end at '=' or at the end */
#define BASE64_LENIENT 4u

/* Appends the text to dst, one line. */
void base64_encode(const void *base, size_t len, unsigned flags, struct buf *dst);
/*
 * Appends the bytes to dst. 0, or -EINVAL for a bad byte, bad padding or stray bits (dst as
 * before).
 */
int base64_decode(const char *s, size_t len, unsigned flags, struct buf *dst);

#endif
