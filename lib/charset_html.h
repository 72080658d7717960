/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * charset_html -- the text of an HTML document, for searching
 */
#ifndef CYL_CHARSET_HTML_H
#define CYL_CHARSET_HTML_H

#include <stddef.h>

struct buf;

/* Append the UTF-8 text without tags, comments, scripts and styles, entities as characters. */
void charset_strip_html(const char *s, size_t len, struct buf *dst);

#endif
