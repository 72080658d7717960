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
#include "prot.h"

void dlist_printstring(struct buf *out, const char *base, size_t len, bool plus)
{
    if (!base) {
        buf_appendcstr(out, "NIL");
    }
    else if (prot_isatom(base, len)) {
        buf_appendmap(out, base, len);
    }
    else if (prot_isquotable(base, len)) {
        buf_putc(out, '"');
        buf_appendmap(out, base, len);
        buf_putc(out, '"');
    }
    else {
        buf_printf(out, plus ? "{%zu+}\r\n" : "{%zu}\r\n", len);
        buf_appendmap(out, base, len);
    }
}
