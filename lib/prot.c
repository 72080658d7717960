/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot -- making, setting up and ending protocol streams
 *
 * A stream owns its buffer and its stack of layers, never its descriptor. The
 * stack is kept sorted by rank, so that a layer that comes late (SASL after
 * deflate) goes to its place. Input that was read ahead of a new layer is given to it
 * (deflate), refused (SASL) or was dropped before (TLS): it never passes as protected.
 *
 * The other rooms: prot_read, prot_write, prot_print, prot_wait, and one file for
 * each layer.
 */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "nonblock.h"
#include "prot_int.h"
#include "xmalloc.h"

static struct protstream *stream_new(int fd, bool write)
{
    struct protstream *s = xzmalloc(sizeof(*s));

    s->fd = fd;
    s->write = write;
    s->logfd = -1;
    return s;
}

struct protstream *prot_new(int fd, bool write)
{
    struct protstream *s = stream_new(fd, write);

    s->top = prot_raw_new(fd, write);
    return s;
}

struct protstream *prot_readmap(const char *base, size_t len)
{
    struct protstream *s = stream_new(-1, false);

    s->head.ptr = (const unsigned char *)base;
    s->head.left = len;
    s->bytes = len;
    return s;
}

struct protstream *prot_writebuf(struct buf *buf)
{
    struct protstream *s = stream_new(-1, true);

    s->membuf = buf;
    return s;
}

void prot_rest(struct protstream *s)
{
    if (s->top && !s->head.left && !s->fill) xzfree(s->buf);
}

void prot_free(struct protstream *s)
{
    if (!s) return;
    while (s->top) {
        struct prot_layer *below = s->top->below;
        s->top->ops->free(s->top);
        s->top = below;
    }
    free(s->buf);
    free(s);
}

int prot_fd(const struct protstream *s)
{
    return s->fd;
}

bool prot_is_writer(const struct protstream *s)
{
    return s->write;
}

/* ---- settings ---- */

void prot_settimeout(struct protstream *s, int seconds)
{
    s->timeout = seconds > 0 ? seconds : 0;
}

int prot_timeout(const struct protstream *s)
{
    return s->timeout;
}

void prot_resettimeout(struct protstream *s)
{
    s->clock = prot_now();
}

void prot_setflushonread(struct protstream *in, struct protstream *out)
{
    in->flushonread = out;
}

void prot_setisclient(struct protstream *s, bool isclient)
{
    s->isclient = isclient;
}

bool prot_isclient(const struct protstream *s)
{
    return s->isclient;
}

/* Input that is there but not yet looked at belongs to the log, too. */
void prot_setlog(struct protstream *s, int logfd)
{
    s->logfd = logfd;
    if (logfd >= 0 && !s->write && s->head.left) prot_log(s, s->head.ptr, s->head.left);
}

/* One write(2) for mark and data, so that two streams of a connection don't mix in the log. */
void prot_log(struct protstream *s, const void *base, size_t len)
{
    char mark[32], sign = s->write ? '>' : '<';
    struct iovec iov[2];

    if (s->logfd < 0) return;
    int n = snprintf(mark, sizeof(mark), "%c%lld%c", sign, (long long)time(NULL), sign);
    iov[0] = (struct iovec){ mark, (size_t)n };
    iov[1].iov_base = (void *)(uintptr_t)base;
    iov[1].iov_len = len;
    if (retry_writev(s->logfd, iov, 2, -1)) s->logfd = -1; /* never disturbs the session */
}

void prot_setkeepalive(int fd, bool on, int count, int idle, int interval)
{
    const struct {
        int name, value;
    } opts[] = { { TCP_KEEPCNT, count }, { TCP_KEEPIDLE, idle }, { TCP_KEEPINTVL, interval } };
    int flag = on;

    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &flag, sizeof(flag)) || !on) return;
    for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++)
        if (opts[i].value > 0)
            setsockopt(fd, IPPROTO_TCP, opts[i].name, &opts[i].value, sizeof(opts[i].value));
}

void prot_setlimits(struct protstream *s, const struct prot_limits *limits)
{
    s->limits = *limits;
}

const struct prot_limits *prot_limits(const struct protstream *s)
{
    return &s->limits;
}

void prot_markcommand(struct protstream *s)
{
    s->mark = prot_bytes(s);
}

uint64_t prot_commandbytes(const struct protstream *s)
{
    return prot_bytes(s) - s->mark;
}

/* ---- layers ---- */

bool prot_haslayer(const struct protstream *s, const char *name)
{
    for (const struct prot_layer *l = s->top; l; l = l->below)
        if (!strcmp(l->ops->name, name)) return true;
    return false;
}

/* What was written before the layer came leaves without it. */
static int settle_output(struct protstream *s)
{
    return s->write ? prot_flush(s) : 0;
}

static int insert_layer(struct protstream *s, struct prot_layer *layer)
{
    struct prot_layer **at = &s->top;

    while (*at && (*at)->ops->rank > layer->ops->rank) at = &(*at)->below;
    if (!*at || (*at)->ops->rank == layer->ops->rank) return EOF;
    layer->below = *at;
    layer->waitfd = s->fd;
    layer->want = s->write ? POLLOUT : POLLIN;
    *at = layer;
    return 0;
}

int prot_pushlayer(struct protstream *s, struct prot_layer *layer)
{
    if (!s->top || s->errtext || settle_output(s) || insert_layer(s, layer)) {
        layer->ops->free(layer);
        return EOF;
    }
    return 0;
}

bool prot_iscompressed(const struct protstream *s)
{
    return prot_haslayer(s, "deflate") || prot_haslayer(s, "zstd");
}

static int compress_with(struct protstream *s, struct prot_layer *make(bool write),
                         void feed(struct prot_layer *layer, const void *base, size_t len))
{
    if (!s->top || prot_iscompressed(s)) return EOF;
    struct prot_layer *layer = make(s->write);
    if (!layer) return EOF;
    if (s->head.left) {
        feed(layer, s->head.ptr, s->head.left);
        prot_discardinput(s);
    }
    return prot_pushlayer(s, layer);
}

int prot_setcompress(struct protstream *s)
{
    return compress_with(s, prot_deflate_new, prot_deflate_feed);
}

bool prot_haszstd(void)
{
#ifdef HAVE_ZSTD
    return true;
#else
    return false;
#endif
}

int prot_setzstd(struct protstream *s)
{
    return compress_with(s, prot_zstd_new, prot_zstd_feed);
}

/* A layer above SASL may sit on input, too. */
static bool has_unread(const struct protstream *s)
{
    if (s->head.left) return true;
    for (struct prot_layer *l = s->top; l && l->ops->rank > PROT_RANK_SASL; l = l->below)
        if (l->ops->pending && l->ops->pending(l)) return true;
    return false;
}

int prot_setsasl(struct protstream *s, void *conn)
{
    struct prot_layer *layer = prot_sasl_new(conn, s->write);

    if (!layer) return 0;
    if (!s->write && has_unread(s)) {
        layer->ops->free(layer);
        return EOF;
    }
    return prot_pushlayer(s, layer);
}

size_t prot_discardinput(struct protstream *s)
{
    size_t n = s->head.left;

    s->head.left = 0;
    s->bytes -= n;
    return n;
}

/* ---- state ---- */

int prot_fail(struct protstream *s, int err, const char *text)
{
    if (s->errtext) return EOF;
    if (!text && s->top && s->top->ops->errtext) text = s->top->ops->errtext(s->top);
    if (!text) text = strerror(err);
    snprintf(s->errbuf, sizeof(s->errbuf), "%s", text);
    s->errtext = s->errbuf;
    s->err = err;
    s->head.left = 0;
    s->fill = 0;
    return EOF;
}

int prot_fail_timeout(struct protstream *s)
{
    prot_fail(s, ETIMEDOUT, PROT_TIMEOUT_STRING);
    s->timedout = true;
    return EOF;
}

const char *prot_error(const struct protstream *s)
{
    return s->errtext;
}

bool prot_is_eof(const struct protstream *s)
{
    return s->eof;
}

bool prot_is_timeout(const struct protstream *s)
{
    return s->timedout;
}

int prot_errno(const struct protstream *s)
{
    return s->err;
}

void prot_seterror(struct protstream *s, int err, const char *text)
{
    prot_fail(s, err, text);
}

uint64_t prot_bytes(const struct protstream *s)
{
    return s->bytes - s->head.left;
}
