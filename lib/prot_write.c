/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_write -- bytes to a stream
 *
 * Output is gathered in the buffer and leaves when that is full or flushed. Of a large
 * piece only what fills the buffer, and the rest behind the last full one, is copied. Memory
 * streams append at once.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "prot_int.h"
#include "util.h"
#include "xmalloc.h"

/* Every byte to the layers, waiting as long as some move in time. */
static int send_all(struct protstream *s, const void *base, size_t len)
{
    const unsigned char *p = base;

    prot_log(s, base, len);
    s->clock = prot_now();
    while (len) {
        ssize_t n = s->top->ops->write(s->top, p, len);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
            s->clock = prot_now();
        }
        else if (errno != EAGAIN) {
            return prot_fail(s, errno, NULL);
        }
        else if (prot_waitoutput(s)) {
            return EOF;
        }
    }
    return 0;
}

static int send_buffer(struct protstream *s)
{
    size_t len = s->fill;

    if (!len) return 0;
    s->fill = 0;
    return send_all(s, s->buf, len);
}

int prot_write(struct protstream *s, const char *base, size_t len)
{
    if (s->errtext) return EOF;
    if (!len) return 0;
    s->bytes += len;
    if (s->membuf) {
        prot_log(s, base, len);
        buf_appendmap(s->membuf, base, len);
        return 0;
    }
    if (!s->buf) s->buf = xmalloc(PROT_BUFSIZE);
    if (len < PROT_BUFSIZE - s->fill) {
        memcpy(s->buf + s->fill, base, len);
        s->fill += len;
        return 0;
    }
    size_t n = s->fill ? PROT_BUFSIZE - s->fill : 0;
    memcpy(s->buf + s->fill, base, n);
    s->fill += n;
    if (send_buffer(s)) return EOF;
    size_t direct = (len - n) / PROT_BUFSIZE * PROT_BUFSIZE;
    if (direct && send_all(s, base + n, direct)) return EOF;
    s->fill = len - n - direct;
    memcpy(s->buf, base + n + direct, s->fill);
    return 0;
}

int prot_putc(int c, struct protstream *s)
{
    char byte = (char)c;

    return prot_write(s, &byte, 1);
}

int prot_puts(struct protstream *s, const char *str)
{
    return prot_write(s, str, strlen(str));
}

int prot_putbuf(struct protstream *s, const struct buf *buf)
{
    return buf->len ? prot_write(s, buf->s, buf->len) : (s->errtext ? EOF : 0);
}

int prot_vprintf(struct protstream *s, const char *fmt, va_list ap)
{
    char small[1024];
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    int r;
    if (n < 0) {
        r = prot_fail(s, EINVAL, NULL);
    }
    else if ((size_t)n < sizeof(small)) {
        r = prot_write(s, small, (size_t)n);
    }
    else {
        struct buf big = BUF_INITIALIZER;
        buf_vprintf(&big, fmt, again);
        r = prot_putbuf(s, &big);
        buf_free(&big);
    }
    va_end(again);
    return r;
}

int prot_printf(struct protstream *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int r = prot_vprintf(s, fmt, ap);
    va_end(ap);
    return r;
}

static int flush_layers(struct protstream *s)
{
    while (s->top->ops->flush && s->top->ops->flush(s->top)) {
        if (errno != EAGAIN) return prot_fail(s, errno, NULL);
        if (prot_waitoutput(s)) return EOF;
    }
    return 0;
}

int prot_flush(struct protstream *s)
{
    if (s->errtext) return EOF;
    if (s->membuf || !s->write) return 0;
    s->clock = prot_now();
    if (send_buffer(s)) return EOF;
    return flush_layers(s);
}

void prot_discardoutput(struct protstream *s)
{
    s->bytes -= s->fill;
    s->fill = 0;
}
