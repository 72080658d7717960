/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_print -- strings in the forms of IMAP and the sync protocol
 *
 * An atom if it may be one, else quoted, else a literal, with the limits and byte
 * classes of 3.6.1 (handbook 03 §1.6). Inside quotes nothing is ever escaped.
 */
#include <config.h>

#include <string.h>

#include "prot.h"

#define MAXSHORT 1024 /* strings of this length and more are literals */

bool prot_isatom(const char *base, size_t len)
{
    if (!len || len >= MAXSHORT || (len == 3 && !memcmp(base, "NIL", 3))) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)base[i];
        if (c < 0x1f || c > 0x7e || strchr(" {()\"%*\\", c)) return false;
    }
    return true;
}

bool prot_isquotable(const char *base, size_t len)
{
    if (len >= MAXSHORT) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)base[i];
        if (!c || c >= 0x80 || strchr("\r\n\"%\\", c)) return false;
    }
    return true;
}

int prot_printliteral(struct protstream *s, const char *base, size_t len)
{
    prot_printf(s, "{%zu%s}\r\n", len, prot_isclient(s) ? "+" : "");
    return prot_write(s, base, len);
}

int prot_printliteral8(struct protstream *s, const char *base, size_t len)
{
    prot_putc('~', s);
    return prot_printliteral(s, base, len);
}

int prot_printmap(struct protstream *s, const char *base, size_t len)
{
    if (!prot_isquotable(base, len)) return prot_printliteral(s, base, len);
    prot_putc('"', s);
    prot_write(s, base, len);
    return prot_putc('"', s);
}

int prot_printstring(struct protstream *s, const char *str)
{
    return str ? prot_printmap(s, str, strlen(str)) : prot_puts(s, "NIL");
}

int prot_printamap(struct protstream *s, const char *base, size_t len)
{
    if (prot_isatom(base, len)) return prot_write(s, base, len);
    return prot_printmap(s, base, len);
}

int prot_printastring(struct protstream *s, const char *str)
{
    return str ? prot_printamap(s, str, strlen(str)) : prot_puts(s, "NIL");
}
