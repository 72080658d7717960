/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * utf7 -- mailbox names in modified UTF-7 (RFC 3501 §5.1.3) and in UTF-8 (RFC 3629)
 *
 * Only the canonical encoding is valid, so that a name has one spelling: printable
 * ASCII stands for itself ("&" as "&-"), a run of other characters is one "&...-"
 * whose last bits are zero, and two runs never touch. US-ASCII inside a run, control
 * characters too, is refused as 3.6.1 does (handbook 04, "Name rules"); so
 * a control character has no encoding at all. dst changes only on success.
 */
#include <config.h>

#include "utf7.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "util.h"

/* -- UTF-8 -- */

int utf8_next(const char **p, const char *end)
{
    const unsigned char *s = (const unsigned char *)*p;
    size_t left = (size_t)(end - *p), n;
    int c;

    (*p)++;
    if (s[0] < 0x80) return s[0];
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
        c = s[0] & 0x1f;
    }
    else if ((s[0] & 0xf0) == 0xe0) {
        n = 3;
        c = s[0] & 0x0f;
    }
    else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        c = s[0] & 0x07;
    }
    else {
        return -1;
    }
    if (left < n) return -1;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return -1;
        c = c << 6 | (s[i] & 0x3f);
    }
    /* Overlong forms, surrogates, and what is beyond Unicode. */
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff))) return -1;
    if (c >= 0xd800 && c <= 0xdfff) return -1;
    *p += n - 1;
    return c;
}

bool utf8_isvalid(const char *s, size_t len)
{
    const char *end = s + len;

    while (s < end) {
        if (utf8_next(&s, end) < 0) return false;
    }
    return true;
}

void utf8_append(struct buf *dst, int c)
{
    if (c < 0x80) {
        buf_putc(dst, (char)c);
    }
    else if (c < 0x800) {
        buf_putc(dst, (char)(0xc0 | c >> 6));
        buf_putc(dst, (char)(0x80 | (c & 0x3f)));
    }
    else if (c < 0x10000) {
        buf_putc(dst, (char)(0xe0 | c >> 12));
        buf_putc(dst, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(dst, (char)(0x80 | (c & 0x3f)));
    }
    else {
        buf_putc(dst, (char)(0xf0 | c >> 18));
        buf_putc(dst, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(dst, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(dst, (char)(0x80 | (c & 0x3f)));
    }
}

/* -- modified UTF-7 -- */

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit_value(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/*
 * Takes the units of a run that stands behind its '&' at *p, and moves *p behind
 * its '-'. dst NULL: only checks.
 */
static int decode_run(const char **p, const char *end, struct buf *dst)
{
    uint32_t bits = 0;
    unsigned nbits = 0;
    int high = 0, v;
    const char *s = *p;

    for (; s < end && (v = digit_value(*s)) >= 0; s++) {
        bits = (bits << 6 | (uint32_t)v) & 0xffffff;
        nbits += 6;
        if (nbits < 16) continue;
        nbits -= 16;
        int unit = bits >> nbits & 0xffff;
        if (unit < 0x80) return -EINVAL;
        bool is_low = unit >= 0xdc00 && unit <= 0xdfff;
        if (is_low != (high != 0)) return -EINVAL;
        if (unit >= 0xd800 && unit <= 0xdbff) {
            high = unit;
            continue;
        }
        if (high) unit = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
        high = 0;
        if (dst) utf8_append(dst, unit);
    }
    /* Ended by '-', after a whole character, with less than a digit of zero bits. */
    if (s == end || *s != '-' || s == *p || high) return -EINVAL;
    if (nbits >= 6 || (bits & ((1u << nbits) - 1))) return -EINVAL;
    *p = s + 1;
    return 0;
}

/* dst NULL: only checks. */
static int decode(const char *s, size_t len, struct buf *dst)
{
    const char *end = s + len, *run_end = NULL;

    while (s < end) {
        if (*s < 0x20 || *s > 0x7e) return -EINVAL;
        if (*s != '&') {
            if (dst) buf_putc(dst, *s);
            s++;
        }
        else if (s + 1 < end && s[1] == '-') {
            if (dst) buf_putc(dst, '&');
            s += 2;
        }
        else {
            if (s == run_end) return -EINVAL;
            s++;
            int r = decode_run(&s, end, dst);
            if (r) return r;
            run_end = s;
        }
    }
    return 0;
}

bool utf7_isvalid(const char *s, size_t len)
{
    return decode(s, len, NULL) == 0;
}

int utf7_to_utf8(const char *s, size_t len, struct buf *dst)
{
    if (!utf7_isvalid(s, len)) return -EINVAL;
    return decode(s, len, dst);
}

/* The bits of a run that wait for a whole digit. */
struct run {
    bool open;
    uint32_t bits;
    unsigned nbits;
};

static void run_unit(struct run *run, unsigned unit, struct buf *dst)
{
    if (!run->open) buf_putc(dst, '&');
    run->open = true;
    run->bits = run->bits << 16 | unit;
    run->nbits += 16;
    while (run->nbits >= 6) {
        run->nbits -= 6;
        buf_putc(dst, alphabet[run->bits >> run->nbits & 63]);
        run->bits &= (1u << run->nbits) - 1;
    }
}

static void run_close(struct run *run, struct buf *dst)
{
    if (!run->open) return;
    if (run->nbits) buf_putc(dst, alphabet[run->bits << (6 - run->nbits) & 63]);
    buf_putc(dst, '-');
    *run = (struct run){ 0 };
}

int utf8_to_utf7(const char *s, size_t len, struct buf *dst)
{
    const char *end = s + len;
    size_t before = dst->len;
    struct run run = { 0 };

    while (s < end) {
        int c = utf8_next(&s, end);
        if (c < 0x20 || c == 0x7f) {
            buf_truncate(dst, before);
            return -EINVAL;
        }
        if (c < 0x7f) {
            run_close(&run, dst);
            buf_putc(dst, (char)c);
            if (c == '&') buf_putc(dst, '-');
        }
        else if (c < 0x10000) {
            run_unit(&run, (unsigned)c, dst);
        }
        else {
            run_unit(&run, 0xd800 + ((unsigned)(c - 0x10000) >> 10), dst);
            run_unit(&run, 0xdc00 + ((unsigned)(c - 0x10000) & 0x3ff), dst);
        }
    }
    run_close(&run, dst);
    return 0;
}
