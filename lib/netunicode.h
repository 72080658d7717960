/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netunicode -- text as it may be made a name (RFC 5198 §2, RFC 6855 §3)
 */
#ifndef CYL_NETUNICODE_H
#define CYL_NETUNICODE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/*
 * Appends UTF-8 text with its characters composed (NFC). False, and dst as before: it is not UTF-8, or it has a control
 * character (U+0000 to 1F, 7F to 9F), a line separator or a paragraph separator.
 */
bool netunicode(const char *s, size_t len, struct buf *dst);

#endif
