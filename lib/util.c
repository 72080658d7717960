/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * util -- numbers, hex, letters and big-endian bytes
 *
 * Everything is ASCII whatever the locale. Parsers answer 0, -EINVAL or -ERANGE
 * and set their result only on 0; nothing else here fails.
 */
#include <config.h>

#include "util.h"

#include <errno.h>

/* -- numbers -- */

int scan_u64(const char **p, const char *end, uint64_t *res)
{
    const char *s = *p;
    uint64_t n = 0;

    if (s >= end || !cyr_isdigit(*s)) return -EINVAL;
    for (; s < end && cyr_isdigit(*s); s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (n > (UINT64_MAX - digit) / 10) return -ERANGE;
        n = n * 10 + digit;
    }
    *p = s;
    *res = n;
    return 0;
}

int scan_u32(const char **p, const char *end, uint32_t *res)
{
    const char *s = *p;
    uint64_t n;
    int r = scan_u64(&s, end, &n);

    if (r) return r;
    if (n > UINT32_MAX) return -ERANGE;
    *p = s;
    *res = (uint32_t)n;
    return 0;
}

int parse_u64(const char *s, size_t len, uint64_t *res)
{
    const char *p = s;
    uint64_t n;
    int r = scan_u64(&p, s + len, &n);

    if (r == -ERANGE) {
        /* Bad text is bad text however long its digits are. */
        for (size_t i = 0; i < len; i++) {
            if (!cyr_isdigit(s[i])) return -EINVAL;
        }
    }
    if (r) return r;
    if (p != s + len) return -EINVAL;
    *res = n;
    return 0;
}

int parse_u32(const char *s, size_t len, uint32_t *res)
{
    uint64_t n;
    int r = parse_u64(s, len, &n);

    if (r) return r;
    if (n > UINT32_MAX) return -ERANGE;
    *res = (uint32_t)n;
    return 0;
}

int parse_i64(const char *s, size_t len, int64_t *res)
{
    bool negative = len && *s == '-';
    uint64_t n;
    int r = parse_u64(s + negative, len - negative, &n);

    if (r) return r;
    if (n > (uint64_t)INT64_MAX + negative) return -ERANGE;
    *res = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

int parse_u32_cstr(const char *s, uint32_t *res)
{
    return parse_u32(s, strlen(s), res);
}

int parse_u64_cstr(const char *s, uint64_t *res)
{
    return parse_u64(s, strlen(s), res);
}

int parse_i64_cstr(const char *s, int64_t *res)
{
    return parse_i64(s, strlen(s), res);
}

int parse_hex64(const char *s, size_t len, uint64_t *res)
{
    uint64_t n = 0;

    if (!len) return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (hexval(s[i]) < 0) return -EINVAL;
    }
    if (len > 16) return -ERANGE;
    for (size_t i = 0; i < len; i++) n = n << 4 | (uint64_t)hexval(s[i]);
    *res = n;
    return 0;
}

/* -- hex -- */

int hexval(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool cyr_isxdigit(char c)
{
    return hexval(c) >= 0;
}

void bin_to_hex(const void *bin, size_t len, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bin;

    for (size_t i = 0; i < len; i++) {
        *hex++ = digits[p[i] >> 4];
        *hex++ = digits[p[i] & 15];
    }
    *hex = '\0';
}

int hex_to_bin(const char *hex, size_t hexlen, void *bin)
{
    unsigned char *out = bin;

    if (hexlen % 2) return -EINVAL;
    for (size_t i = 0; i < hexlen; i += 2) {
        int high = hexval(hex[i]), low = hexval(hex[i + 1]);
        if (high < 0 || low < 0) return -EINVAL;
        *out++ = (unsigned char)(high << 4 | low);
    }
    return 0;
}

/* -- big-endian integers -- */

uint16_t get_be16(const void *p)
{
    const unsigned char *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

uint32_t get_be32(const void *p)
{
    const unsigned char *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint64_t get_be64(const void *p)
{
    const unsigned char *b = p;
    return (uint64_t)get_be32(b) << 32 | get_be32(b + 4);
}

void put_be16(void *p, uint16_t v)
{
    unsigned char *b = p;
    b[0] = (unsigned char)(v >> 8);
    b[1] = (unsigned char)v;
}

void put_be32(void *p, uint32_t v)
{
    unsigned char *b = p;
    b[0] = (unsigned char)(v >> 24);
    b[1] = (unsigned char)(v >> 16);
    b[2] = (unsigned char)(v >> 8);
    b[3] = (unsigned char)v;
}

void put_be64(void *p, uint64_t v)
{
    unsigned char *b = p;
    put_be32(b, (uint32_t)(v >> 32));
    put_be32(b + 4, (uint32_t)v);
}

/* -- letters -- */

char *lcase(char *s)
{
    for (char *p = s; *p; p++) *p = cyr_tolower(*p);
    return s;
}

char *ucase(char *s)
{
    for (char *p = s; *p; p++) *p = cyr_toupper(*p);
    return s;
}

int cyr_strncasecmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)cyr_tolower(a[i]);
        unsigned char y = (unsigned char)cyr_tolower(b[i]);
        if (x != y) return x < y ? -1 : 1;
        if (!x) return 0;
    }
    return 0;
}

int cyr_strcasecmp(const char *a, const char *b)
{
    return cyr_strncasecmp(a, b, SIZE_MAX);
}

bool memcaseeq(const char *a, size_t alen, const char *b, size_t blen)
{
    if (alen != blen) return false;
    for (size_t i = 0; i < alen; i++) {
        if (cyr_tolower(a[i]) != cyr_tolower(b[i])) return false;
    }
    return true;
}

int strcmpnull(const char *a, const char *b)
{
    if (!a || !b) return !!a - !!b;
    return strcmp(a, b);
}

/* -- bytes -- */

int memcmp_len(const void *a, size_t alen, const void *b, size_t blen)
{
    size_t n = alen < blen ? alen : blen;
    int r = n ? memcmp(a, b, n) : 0;

    if (r) return r;
    return (alen > blen) - (alen < blen);
}

bool ct_equal(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char diff = 0;

    for (size_t i = 0; i < len; i++) diff |= (unsigned char)(x[i] ^ y[i]);
    return diff == 0;
}

void secure_zero(void *p, size_t len)
{
    explicit_bzero(p, len);
}

int parse_switch(const char *s)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {
        { "1", 1 }, { "t", 1 }, { "true", 1 },  { "y", 1 }, { "yes", 1 }, { "on", 1 },
        { "0", 0 }, { "f", 0 }, { "false", 0 }, { "n", 0 }, { "no", 0 },  { "off", 0 },
    };

    for (size_t i = 0; i < array_size(words); i++) {
        if (!cyr_strcasecmp(s, words[i].word)) return words[i].value;
    }
    return -1;
}
