/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_read -- bytes and lines from a stream
 *
 * Everything stands on prot_fill(), which waits (prot_wait.c). Lengths are bounded by
 * the caller or by `max`; memory grows with the bytes that came, never with a length
 * that was only announced.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "buf.h"
#include "prot_int.h"
#include "util.h"
#include "xmalloc.h"

int prot_tryfill(struct protstream *s)
{
    if (s->errtext) return 0;
    if (s->top && !s->buf) s->buf = xmalloc(PROT_BUFSIZE);
    ssize_t n = s->top ? s->top->ops->read(s->top, s->buf, PROT_BUFSIZE) : 0;
    if (n > 0) {
        s->head.ptr = s->buf;
        s->head.left = (size_t)n;
        s->bytes += (uint64_t)n;
        prot_log(s, s->buf, (size_t)n);
        return 1;
    }
    if (n < 0 && errno == EAGAIN) return -1;
    if (n < 0) {
        prot_fail(s, errno, NULL);
        return 0;
    }
    prot_fail(s, 0, PROT_EOF_STRING);
    s->eof = true;
    return 0;
}

int prot_fill(struct protstream *s)
{
    int r = prot_tryfill(s);

    while (r < 0) {
        if (prot_waitinput(s)) return EOF;
        r = prot_tryfill(s);
    }
    return r ? 0 : EOF;
}

int prot_fillgetc(struct protstream *s)
{
    if (prot_fill(s)) return EOF;
    s->head.left--;
    return *s->head.ptr++;
}

/* The byte before head.ptr is the one that was read last. */
int prot_ungetc(int c, struct protstream *s)
{
    if (c == EOF || s->errtext) return EOF;
    s->head.ptr--;
    s->head.left++;
    return c;
}

int prot_peek(struct protstream *s)
{
    if (!s->head.left && prot_fill(s)) return EOF;
    return *s->head.ptr;
}

size_t prot_readview(struct protstream *s, const char **base, size_t max)
{
    if (!max || (!s->head.left && prot_fill(s))) return 0;
    size_t n = cyr_min(max, s->head.left);
    *base = (const char *)s->head.ptr;
    s->head.ptr += n;
    s->head.left -= n;
    return n;
}

size_t prot_read(struct protstream *s, char *dst, size_t len)
{
    const char *base;
    size_t n = prot_readview(s, &base, len);

    if (n) memcpy(dst, base, n);
    return n;
}

int prot_readbuf(struct protstream *s, struct buf *buf, size_t len)
{
    const char *base;

    while (len) {
        size_t n = prot_readview(s, &base, len);
        if (!n) return EOF;
        buf_appendmap(buf, base, n);
        len -= n;
    }
    return 0;
}

int prot_skip(struct protstream *s, uint64_t len)
{
    const char *base;

    while (len) {
        size_t n = prot_readview(s, &base, (size_t)cyr_min(len, (uint64_t)PROT_BUFSIZE));
        if (!n) return EOF;
        len -= n;
    }
    return 0;
}

/* Take what is buffered up to and with LF, at most max bytes; true when that ended the line. */
static bool take_line(struct protstream *s, size_t max, const char **base, size_t *len)
{
    size_t n = cyr_min(max, s->head.left);
    const unsigned char *lf = memchr(s->head.ptr, '\n', n);

    if (lf) n = (size_t)(lf - s->head.ptr) + 1;
    *base = (const char *)s->head.ptr;
    *len = n;
    s->head.ptr += n;
    s->head.left -= n;
    return lf != NULL;
}

char *prot_fgets(char *dst, size_t size, struct protstream *s)
{
    const char *base;
    size_t have = 0, n;
    bool done = size < 2;

    while (!done && have < size - 1) {
        if (!s->head.left && prot_fill(s)) break;
        done = take_line(s, size - 1 - have, &base, &n);
        memcpy(dst + have, base, n);
        have += n;
    }
    if (!have) return NULL;
    dst[have] = '\0';
    return dst;
}

int prot_getline(struct protstream *s, struct buf *line, size_t max)
{
    const char *base;
    size_t n;
    bool done = false;

    buf_reset(line);
    while (!done) {
        if (!s->head.left && prot_fill(s)) return EOF;
        /* two more for CR LF */
        done = take_line(s, max + 2 - line->len, &base, &n);
        buf_appendmap(line, base, n);
        if (!done && line->len == max + 2) return prot_fail(s, EMSGSIZE, "line too long");
    }
    buf_truncate(line, line->len - 1);
    if (line->len && line->s[line->len - 1] == '\r') buf_truncate(line, line->len - 1);
    if (line->len > max) return prot_fail(s, EMSGSIZE, "line too long");
    buf_cstring(line);
    return 0;
}
