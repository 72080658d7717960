/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * util -- numbers, hex, letters and big-endian bytes
 *
 * ASCII rules whatever the locale. A parser takes all of its input or fails.
 */
#ifndef CYL_UTIL_H
#define CYL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t modseq_t;

/* -- numbers --
 * Decimal digits only: no sign (but for i64), no blanks, no empty text. 0, or
 * -EINVAL for bad text, -ERANGE for too large; the result is only set on 0. */
int parse_u32(const char *s, size_t len, uint32_t *res);
int parse_u64(const char *s, size_t len, uint64_t *res);
int parse_i64(const char *s, size_t len, int64_t *res);
/* NUL-terminated forms of the above. */
int parse_u32_cstr(const char *s, uint32_t *res);
int parse_u64_cstr(const char *s, uint64_t *res);
int parse_i64_cstr(const char *s, int64_t *res);
/*
 * The digits at the start of [*p, end): sets *res, moves *p behind them. -EINVAL when
 * there is no digit, -ERANGE when too large (then *p does not move).
 */
int scan_u32(const char **p, const char *end, uint32_t *res);
int scan_u64(const char **p, const char *end, uint64_t *res);
/* Hex digits of either case, at most 16; same errors. */
int parse_hex64(const char *s, size_t len, uint64_t *res);

/* -- hex -- */
/* 2*len lower-case digits and a NUL. */
void bin_to_hex(const void *bin, size_t len, char *hex);
/* hexlen digits, even, of either case, into hexlen/2 bytes; 0 or -EINVAL. */
int hex_to_bin(const char *hex, size_t hexlen, void *bin);

/* -- big-endian integers in bytes, any alignment -- */
uint16_t get_be16(const void *p);
uint32_t get_be32(const void *p);
uint64_t get_be64(const void *p);
void put_be16(void *p, uint16_t v);
void put_be32(void *p, uint32_t v);
void put_be64(void *p, uint64_t v);

/* -- ASCII letters -- */
char *lcase(char *s); /* in place; returns s */
char *ucase(char *s);
static inline bool cyr_isdigit(char c) { return c >= '0' && c <= '9'; }
static inline bool cyr_islower(char c) { return c >= 'a' && c <= 'z'; }
static inline bool cyr_isupper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool cyr_isalpha(char c) { return cyr_islower(c) || cyr_isupper(c); }
static inline bool cyr_isalnum(char c) { return cyr_isalpha(c) || cyr_isdigit(c); }
static inline bool cyr_isspace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline char cyr_tolower(char c) { return cyr_isupper(c) ? (char)(c - 'A' + 'a') : c; }
static inline char cyr_toupper(char c) { return cyr_islower(c) ? (char)(c - 'a' + 'A') : c; }
bool cyr_isxdigit(char c);
/* 0..15, or -1. */
int hexval(char c);
/* As strcmp/strncmp with ASCII letters of either case alike. */
int cyr_strcasecmp(const char *a, const char *b);
int cyr_strncasecmp(const char *a, const char *b, size_t n);
/* Two runs of bytes, letters alike. */
bool memcaseeq(const char *a, size_t alen, const char *b, size_t blen);
/* NULL sorts first and equals NULL. */
int strcmpnull(const char *a, const char *b);
#define strcmpsafe(a, b) strcmpnull(a, b)
static inline bool strstarts(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

/* -- bytes -- */
/* Byte order; a prefix sorts first. */
int memcmp_len(const void *a, size_t alen, const void *b, size_t blen);
/* Equal or not, in time that does not depend on where they differ. */
bool ct_equal(const void *a, const void *b, size_t len);
/* Overwrites; not optimised away. */
void secure_zero(void *p, size_t len);

/* -- "yes no on off true false 1 0 t f y n", any case: 1, 0, or -1 for anything else -- */
int parse_switch(const char *s);

/* Index of the first of n rising numbers that is not below v; n when there is none. */
static inline size_t lower_bound_u32(const uint32_t *numbers, size_t n, uint32_t v)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (numbers[mid] < v)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

#define roundup2(n, to) ((((n) + (to) - 1) / (to)) * (to))
#define array_size(a) (sizeof(a) / sizeof((a)[0]))
#define cyr_min(a, b) ((a) < (b) ? (a) : (b))
#define cyr_max(a, b) ((a) > (b) ? (a) : (b))

#endif
