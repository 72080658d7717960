/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlist_string -- how one string is written in dlist text (handbook 01 §1.9)
 *
 * Atom if it can be one, else quoted (never with a backslash), else a literal.
 * The limits and byte classes are those of 3.6.1, so that its readers and
 * byte-for-byte comparisons agree. Nothing fails.
 */
#include <config.h>

#include <string.h>

#include "buf.h"
#include "dlist.h"

#define MAXSHORT 1024 /* strings of this length and more are literals */

bool dlist_isatom(const char *base, size_t len)
{
    if (!len || len >= MAXSHORT || (len == 3 && !memcmp(base, "NIL", 3))) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)base[i];
        if (c < 0x1f || c > 0x7e || strchr(" {()\"%*\\", c)) return false;
    }
    return true;
}

static bool can_be_quoted(const char *base, size_t len)
{
    if (len >= MAXSHORT) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)base[i];
        if (!c || c >= 0x80 || strchr("\r\n\"%\\", c)) return false;
    }
    return true;
}

void dlist_printstring(struct buf *out, const char *base, size_t len, bool plus)
{
    if (!base) {
        buf_appendcstr(out, "NIL");
    }
    else if (dlist_isatom(base, len)) {
        buf_appendmap(out, base, len);
    }
    else if (can_be_quoted(base, len)) {
        buf_putc(out, '"');
        buf_appendmap(out, base, len);
        buf_putc(out, '"');
    }
    else {
        buf_printf(out, plus ? "{%zu+}\r\n" : "{%zu}\r\n", len);
        buf_appendmap(out, base, len);
    }
}
