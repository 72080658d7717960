/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base64 -- RFC 4648 base64, both alphabets
 *
 * Strict decoding takes exactly what encoding makes: whole groups with their
 * padding (or none with BASE64_NOPAD) and zero bits left over. Lenient decoding takes
 * what mail contains. dst changes only on success.
 */
#include <config.h>

#include "base64.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"

static const char standard[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char urlsafe[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_encode(const void *base, size_t len, unsigned flags, struct buf *dst)
{
    const char *alphabet = flags & BASE64_URL ? urlsafe : standard;
    const unsigned char *p = base;

    buf_ensure(dst, len / 3 * 4 + 4);
    for (; len >= 3; len -= 3, p += 3) {
        char out[4] = { alphabet[p[0] >> 2], alphabet[(p[0] & 3) << 4 | p[1] >> 4],
                        alphabet[(p[1] & 15) << 2 | p[2] >> 6], alphabet[p[2] & 63] };
        buf_appendmap(dst, out, 4);
    }
    if (!len) return;

    unsigned second = len > 1 ? p[1] : 0;
    buf_putc(dst, alphabet[p[0] >> 2]);
    buf_putc(dst, alphabet[(p[0] & 3) << 4 | second >> 4]);
    if (len > 1) buf_putc(dst, alphabet[(second & 15) << 2]);
    if (!(flags & BASE64_NOPAD)) buf_appendfill(dst, '=', 3 - len);
}

/* 0..63, or -1. */
static int value(char c, unsigned flags)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (flags & BASE64_URL ? '-' : '+')) return 62;
    if (c == (flags & BASE64_URL ? '_' : '/')) return 63;
    return -1;
}

int base64_decode(const char *s, size_t len, unsigned flags, struct buf *dst)
{
    bool lenient = flags & BASE64_LENIENT;
    size_t before = dst->len, ndigits = 0, i;
    uint32_t bits = 0;

    buf_ensure(dst, len / 4 * 3 + 3);
    for (i = 0; i < len && s[i] != '='; i++) {
        int v = value(s[i], flags);
        if (v < 0 && lenient) continue;
        if (v < 0) goto bad;
        bits = bits << 6 | (uint32_t)v;
        if (++ndigits % 4 == 0) {
            char out[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
            buf_appendmap(dst, out, 3);
        }
    }

    size_t rest = ndigits % 4, padding = len - i;
    if (!lenient) {
        if (rest == 1 || padding > 2 || (padding && padding != 4 - rest)) goto bad;
        if (rest && !padding && !(flags & BASE64_NOPAD)) goto bad;
        for (; i < len; i++) {
            if (s[i] != '=') goto bad;
        }
        if ((rest == 2 && (bits & 15)) || (rest == 3 && (bits & 3))) goto bad;
    }
    if (rest == 2) buf_putc(dst, (char)(bits >> 4));
    if (rest == 3) {
        char out[2] = { (char)(bits >> 10), (char)(bits >> 2) };
        buf_appendmap(dst, out, 2);
    }
    return 0;

bad:
    buf_truncate(dst, before);
    return -EINVAL;
}
