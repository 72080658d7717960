/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buf -- bytes that grow
 *
 * Invariants: alloc == 0 means that s is borrowed (or NULL) and is never written
 * through; alloc > 0 means that s was malloc'ed and alloc >= len. BUF_MMAP is only
 * set while s is a mapping, and then alloc == 0. Growth doubles, so n appends
 * cost O(n). Nothing fails but buf_init_mmap; no memory is fatal().
 */
#include <config.h>

#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "util.h"
#include "xmalloc.h"

/* -- life -- */

struct buf *buf_new(void)
{
    return xzmalloc(sizeof(struct buf));
}

void buf_destroy(struct buf *buf)
{
    buf_free(buf);
    free(buf);
}

void buf_init(struct buf *buf)
{
    *buf = (struct buf)BUF_INITIALIZER;
}

void buf_init_ro(struct buf *buf, const char *base, size_t len)
{
    /* The cast is safe: alloc 0 says that nobody writes through s. */
    *buf = (struct buf){ .s = (char *)(uintptr_t)base, .len = len };
}

void buf_init_ro_cstr(struct buf *buf, const char *s)
{
    buf_init_ro(buf, s, s ? strlen(s) : 0);
}

void buf_initm(struct buf *buf, char *base, size_t len)
{
    *buf = (struct buf){ .s = base, .len = len, .alloc = len };
}

void buf_initmcstr(struct buf *buf, char *s)
{
    buf_initm(buf, s, strlen(s));
    buf->alloc = buf->len + 1;
}

/* Bytes by which a mapping must begin before off, as mappings begin at pages. */
static size_t page_slack(uint64_t off)
{
    return (size_t)(off % (uint64_t)sysconf(_SC_PAGESIZE));
}

int buf_init_mmap(struct buf *buf, int fd, uint64_t off, size_t len)
{
    struct stat st;

    buf_init(buf);
    if (fstat(fd, &st)) return -errno;
    if (off > (uint64_t)st.st_size || len > (uint64_t)st.st_size - off) return -ERANGE;
    if (!len) return 0;

    size_t slack = page_slack(off);
    char *base = mmap(NULL, len + slack, PROT_READ, MAP_SHARED, fd, (off_t)(off - slack));
    if (base == MAP_FAILED) return -errno;
    buf_init_ro(buf, base + slack, len);
    buf->flags = BUF_MMAP;
    return 0;
}

/* Gives up what s holds; the struct is left for the caller to set. */
static void drop(struct buf *buf)
{
    if (buf->flags & BUF_MMAP) {
        size_t slack = (uintptr_t)buf->s % (uintptr_t)sysconf(_SC_PAGESIZE);
        munmap(buf->s - slack, buf->len + slack);
    }
    else if (buf->alloc) {
        free(buf->s);
    }
}

void buf_free(struct buf *buf)
{
    if (!buf) return;
    drop(buf);
    buf_init(buf);
}

void buf_reset(struct buf *buf)
{
    if (buf->alloc)
        buf->len = 0;
    else
        buf_free(buf);
}

void buf_ensure(struct buf *buf, size_t n)
{
    if (n >= SIZE_MAX / 2 - buf->len) fatal("buffer too large", EX_TEMPFAIL);

    size_t need = buf->len + n + 1;
    if (buf->alloc >= need) return;

    size_t alloc = grow_alloc(buf->alloc, need);
    if (buf->alloc) {
        buf->s = xrealloc(buf->s, alloc);
    }
    else {
        char *s = xmalloc(alloc);
        if (buf->len) memcpy(s, buf->s, buf->len);
        drop(buf);
        buf->s = s;
        buf->flags = 0;
    }
    buf->alloc = alloc;
}

/* -- reading -- */

const char *buf_cstring(struct buf *buf)
{
    buf_ensure(buf, 0);
    buf->s[buf->len] = '\0';
    return buf->s;
}

const char *buf_cstringnull(struct buf *buf)
{
    return buf->s ? buf_cstring(buf) : NULL;
}

const char *buf_cstringnull_ifempty(struct buf *buf)
{
    return buf->len ? buf_cstring(buf) : NULL;
}

char *buf_newcstring(const struct buf *buf)
{
    return xmemdup(buf->s, buf->len);
}

char *buf_release(struct buf *buf)
{
    buf_cstring(buf);

    char *s = buf->s;
    buf_init(buf);
    return s;
}

char *buf_releasenull(struct buf *buf)
{
    return buf->s ? buf_release(buf) : NULL;
}

/* -- setting -- */

void buf_setcstr(struct buf *buf, const char *s)
{
    buf_setmap(buf, s, strlen(s));
}

void buf_setmap(struct buf *buf, const char *base, size_t len)
{
    /* Where base lies inside the buf no growth can happen, so it stays valid. */
    if (!buf->alloc) {
        char *s = xmemdup(base, len);
        drop(buf);
        *buf = (struct buf){ .s = s, .len = len, .alloc = len + 1 };
        return;
    }
    if (len >= buf->alloc) {
        buf->len = 0;
        buf_ensure(buf, len);
    }
    if (len) memmove(buf->s, base, len);
    buf->len = len;
}

void buf_copy(struct buf *dst, const struct buf *src)
{
    buf_setmap(dst, src->s, src->len);
}

void buf_move(struct buf *dst, struct buf *src)
{
    if (dst == src) return;
    drop(dst);
    *dst = *src;
    buf_init(src);
}

void buf_swap(struct buf *a, struct buf *b)
{
    struct buf tmp = *a;
    *a = *b;
    *b = tmp;
}

/* -- appending -- */

/* Where len more bytes go; they count already. */
static char *append_space(struct buf *buf, size_t len)
{
    buf_ensure(buf, len);
    char *p = buf->s + buf->len;
    buf->len += len;
    return p;
}

void buf_append(struct buf *dst, const struct buf *src)
{
    /* src may be dst: its s can move, its bytes can't change. */
    size_t len = src->len;
    char *p = append_space(dst, len);
    if (len) memcpy(p, src->s, len);
}

void buf_appendcstr(struct buf *buf, const char *s)
{
    buf_appendmap(buf, s, strlen(s));
}

void buf_appendmap(struct buf *buf, const void *base, size_t len)
{
    if (len) memcpy(append_space(buf, len), base, len);
}

void buf_putc(struct buf *buf, char c)
{
    *append_space(buf, 1) = c;
}

void buf_appendfill(struct buf *buf, char c, size_t n)
{
    if (n) memset(append_space(buf, n), c, n);
}

void buf_appendbit16(struct buf *buf, uint16_t v)
{
    put_be16(append_space(buf, 2), v);
}

void buf_appendbit32(struct buf *buf, uint32_t v)
{
    put_be32(append_space(buf, 4), v);
}

void buf_appendbit64(struct buf *buf, uint64_t v)
{
    put_be64(append_space(buf, 8), v);
}

void buf_appendhex(struct buf *buf, const void *base, size_t len)
{
    if (len > SIZE_MAX / 4) fatal("buffer too large", EX_TEMPFAIL);
    /* bin_to_hex adds a NUL, for which buf_ensure has made room. */
    bin_to_hex(base, len, append_space(buf, 2 * len));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    buf_vprintf(buf, fmt, args);
    va_end(args);
}

void buf_vprintf(struct buf *buf, const char *fmt, va_list args)
{
    va_list again;

    buf_ensure(buf, 64);
    size_t room = buf->alloc - buf->len;
    va_copy(again, args);
    int n = vsnprintf(buf->s + buf->len, room, fmt, args);
    if (n < 0) fatal("bad printf format", EX_SOFTWARE);
    if ((size_t)n >= room) {
        buf_ensure(buf, (size_t)n);
        vsnprintf(buf->s + buf->len, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    buf->len += (size_t)n;
}

/* -- changing -- */

void buf_truncate(struct buf *buf, size_t len)
{
    if (len > buf->len) {
        buf_appendfill(buf, '\0', len - buf->len);
    }
    else if (len < buf->len) {
        /* A mapping must keep its length to be unmapped. */
        if (buf->flags & BUF_MMAP) buf_ensure(buf, 0);
        buf->len = len;
    }
}

void buf_replace(struct buf *buf, size_t off, size_t len, const char *base, size_t newlen)
{
    if (off > buf->len) off = buf->len;
    if (len > buf->len - off) len = buf->len - off;

    buf_ensure(buf, newlen);
    char *at = buf->s + off;
    memmove(at + newlen, at + len, buf->len - off - len);
    if (newlen) memcpy(at, base, newlen);
    buf->len = buf->len - len + newlen;
}

void buf_insert(struct buf *buf, size_t off, const char *base, size_t len)
{
    buf_replace(buf, off, 0, base, len);
}

void buf_remove(struct buf *buf, size_t off, size_t len)
{
    buf_replace(buf, off, len, NULL, 0);
}

size_t buf_replace_all(struct buf *buf, const char *match, const char *replacement)
{
    size_t matchlen = strlen(match), n = 0, done = 0;
    ptrdiff_t at;
    struct buf res = BUF_INITIALIZER;

    while ((at = matchlen ? buf_findmap(buf, done, match, matchlen) : -1) >= 0) {
        buf_appendmap(&res, buf->s + done, (size_t)at - done);
        buf_appendcstr(&res, replacement);
        done = (size_t)at + matchlen;
        n++;
    }
    if (n) {
        buf_appendmap(&res, buf->s + done, buf->len - done);
        buf_move(buf, &res);
    }
    return n;
}

size_t buf_replace_char(struct buf *buf, char match, char replacement)
{
    size_t n = 0;

    if (buf_findchar(buf, 0, match) < 0) return 0;
    buf_ensure(buf, 0);
    for (size_t i = 0; i < buf->len; i++) {
        if (buf->s[i] == match) {
            buf->s[i] = replacement;
            n++;
        }
    }
    return n;
}

void buf_lcase(struct buf *buf)
{
    buf_ensure(buf, 0);
    for (size_t i = 0; i < buf->len; i++) buf->s[i] = cyr_tolower(buf->s[i]);
}

void buf_ucase(struct buf *buf)
{
    buf_ensure(buf, 0);
    for (size_t i = 0; i < buf->len; i++) buf->s[i] = cyr_toupper(buf->s[i]);
}

void buf_trim(struct buf *buf)
{
    size_t start = 0, end = buf->len;

    while (start < end && cyr_isspace(buf->s[start])) start++;
    while (end > start && cyr_isspace(buf->s[end - 1])) end--;
    buf_truncate(buf, end);
    if (start) buf_remove(buf, 0, start);
}

void buf_tocrlf(struct buf *buf)
{
    struct buf res = BUF_INITIALIZER;

    for (size_t i = 0; i < buf->len; i++) {
        char c = buf->s[i];
        if (c == '\n' && (i == 0 || buf->s[i - 1] != '\r')) buf_putc(&res, '\r');
        buf_putc(&res, c);
        if (c == '\r' && (i + 1 == buf->len || buf->s[i + 1] != '\n')) buf_putc(&res, '\n');
    }
    buf_move(buf, &res);
}

/* -- comparing and finding -- */

int buf_cmp(const struct buf *a, const struct buf *b)
{
    return memcmp_len(a->s, a->len, b->s, b->len);
}

int buf_cmpcstr(const struct buf *a, const char *s)
{
    return memcmp_len(a->s, a->len, s, strlen(s));
}

bool buf_equal(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && buf_cmp(a, b) == 0;
}

ptrdiff_t buf_findchar(const struct buf *buf, size_t off, int c)
{
    if (off >= buf->len) return -1;
    const char *p = memchr(buf->s + off, c, buf->len - off);
    return p ? p - buf->s : -1;
}

ptrdiff_t buf_findmap(const struct buf *buf, size_t off, const char *base, size_t len)
{
    if (off > buf->len || len > buf->len - off) return -1;
    if (!len) return (ptrdiff_t)off;
    const char *p = memmem(buf->s + off, buf->len - off, base, len);
    return p ? p - buf->s : -1;
}
