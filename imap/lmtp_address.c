/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_address -- paths of MAIL FROM and RCPT TO (RFC 5321 §4.1.2; handbook 04 §7.2)
 *
 * The local part keeps its quotes: they are part of the name that is looked up.
 */
#include <config.h>

#include <string.h>

#include "lmtp_session.h"
#include "util.h"

#define LOCAL_SPECIALS "()<>[]:;,\" \\"
#define DOMAIN_SPECIALS "-.[]:_"

/* One byte of a local part; false: not allowed. */
static bool take_byte(unsigned char c, bool strict, struct buf *addr)
{
    if (c < ' ' || c == 0x7f) return false;
    if (c >= 0x80 && strict) return false;
    buf_putc(addr, c >= 0x80 ? 'X' : (char)c);
    return true;
}

static bool parse_quoted(const char **p, bool strict, struct buf *addr)
{
    const char *s = *p + 1;

    buf_putc(addr, '"');
    for (; *s != '"'; s++) {
        if (*s == '\\') buf_putc(addr, *s++);
        if (!*s || !take_byte((unsigned char)*s, strict, addr)) return false;
    }
    buf_putc(addr, '"');
    *p = s + 1;
    return true;
}

static bool parse_local(const char **p, bool strict, struct buf *addr)
{
    while (**p && **p != '@' && **p != '>') {
        if (**p == '"') {
            if (!parse_quoted(p, strict, addr)) return false;
            continue;
        }
        if (**p == '\\' && (*p)[1]) {
            buf_putc(addr, '\\');
            (*p)++;
        }
        else if (strchr(LOCAL_SPECIALS, **p)) {
            return false;
        }
        if (!take_byte((unsigned char)**p, strict, addr)) return false;
        (*p)++;
    }
    return true;
}

static bool parse_domain(const char **p, struct buf *addr)
{
    if (**p != '@') return true;
    buf_putc(addr, '@');
    for ((*p)++; **p && **p != '>'; (*p)++) {
        if (!cyr_isalnum(**p) && !strchr(DOMAIN_SPECIALS, **p)) return false;
        buf_putc(addr, **p);
    }
    return buf_base(addr)[buf_len(addr) - 1] != '@';
}

bool lmtp_parse_address(const char **p, bool strict, struct buf *addr)
{
    buf_reset(addr);
    while (**p == ' ') (*p)++;
    if (**p != '<') return false;
    (*p)++;
    if (**p == '@') { /* a source route is of no use any more */
        const char *colon = strchr(*p, ':');
        if (!colon) return false;
        *p = colon + 1;
    }
    if (!parse_local(p, strict, addr) || !parse_domain(p, addr) || **p != '>') return false;
    (*p)++;
    return true;
}

bool lmtp_decode_xtext(const char *s, size_t len, struct buf *out)
{
    buf_reset(out);
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '+') {
            unsigned char byte;
            if (i + 2 >= len || hex_to_bin(s + i + 1, 2, &byte) || !byte) return false;
            c = (char)byte;
            i += 2;
        }
        else if (c < '!' || c > '~' || c == '=') {
            return false;
        }
        buf_putc(out, c);
    }
    return true;
}

void lmtp_encode_xtext(const char *s, struct buf *out)
{
    for (; *s; s++) {
        if (*s >= '!' && *s <= '~' && *s != '+' && *s != '=')
            buf_putc(out, *s);
        else
            buf_printf(out, "+%02X", (unsigned)(unsigned char)*s);
    }
}
