/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_deflate -- the compression layer (RFC 4978): raw deflate, window 15
 *
 * Reading: compressed bytes wait in `in` until the caller takes what they unfold to;
 * never more is unfolded than was asked for, so a bomb costs no memory here.
 * Writing: compressed bytes that the layer below could not take wait in `out`.
 * Bytes that are no deflate stream are EBADMSG; the end of the deflate stream is the end
 * of input.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "prot_int.h"
#include "util.h"
#include "xmalloc.h"

#define CHUNK PROT_BUFSIZE

struct deflate_layer {
    struct prot_layer layer;
    z_stream z;
    unsigned char io[CHUNK]; /* compressed bytes: to be unfolded, or to be sent */
    size_t pos, len;         /* writing: unsent bytes in io */
    unsigned char *fed;      /* reading: input taken over at the start, until it is used up */
    bool more; /* reading: zlib may hold output back; writing: bytes since the last flush */
    bool ended;
};

static ssize_t refill(struct deflate_layer *d)
{
    ssize_t n = prot_below_read(&d->layer, d->io, sizeof(d->io));

    if (n <= 0) return n;
    xzfree(d->fed);
    d->z.next_in = d->io;
    d->z.avail_in = (uInt)n;
    return n;
}

static ssize_t inflate_read(struct prot_layer *layer, void *dst, size_t len)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    len = cyr_min(len, (size_t)INT_MAX);
    while (!d->ended) {
        d->z.next_out = dst;
        d->z.avail_out = (uInt)len;
        int r = inflate(&d->z, Z_SYNC_FLUSH);
        if (r == Z_STREAM_END) d->ended = true;
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
            errno = EBADMSG;
            return -1;
        }
        d->more = !d->z.avail_out;
        if (d->z.avail_out < len) return (ssize_t)(len - d->z.avail_out);
        if (d->ended || d->z.avail_in) continue;
        ssize_t n = refill(d);
        if (n <= 0) return n;
    }
    return 0;
}

static bool inflate_pending(struct prot_layer *layer)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    return d->z.avail_in || d->more;
}

void prot_deflate_feed(struct prot_layer *layer, const void *base, size_t len)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    d->fed = xmemdup(base, len);
    d->z.next_in = d->fed;
    d->z.avail_in = (uInt)len;
}

/* Send what waits in io: 0 all gone, -1 errno. */
static int drain(struct deflate_layer *d)
{
    while (d->pos < d->len) {
        ssize_t n = prot_below_write(&d->layer, d->io + d->pos, d->len - d->pos);
        if (n < 0) return -1;
        d->pos += (size_t)n;
    }
    return 0;
}

/* Fold into the empty io; true when zlib has no more to give. */
static bool fold(struct deflate_layer *d, int how)
{
    d->z.next_out = d->io;
    d->z.avail_out = sizeof(d->io);
    deflate(&d->z, how);
    d->pos = 0;
    d->len = sizeof(d->io) - d->z.avail_out;
    return d->z.avail_out != 0;
}

static ssize_t deflate_write(struct prot_layer *layer, const void *src, size_t len)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    len = cyr_min(len, (size_t)INT_MAX);
    d->z.next_in = (Bytef *)(uintptr_t)src;
    d->z.avail_in = (uInt)len;
    do { /* zlib may have output of before to get rid of first */
        if (drain(d)) return -1;
        fold(d, Z_NO_FLUSH);
    } while (d->z.avail_in == len);
    d->more = true;
    size_t taken = len - d->z.avail_in;
    d->z.avail_in = 0;
    if (drain(d) && errno != EAGAIN) return -1;
    return (ssize_t)taken;
}

static int deflate_flush(struct prot_layer *layer)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    if (drain(d)) return -1;
    while (d->more) {
        d->more = !fold(d, Z_SYNC_FLUSH);
        if (drain(d)) return -1;
    }
    return prot_below_flush(layer);
}

static const char *deflate_errtext(struct prot_layer *layer)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    if (d->z.msg) return d->z.msg;
    return layer->below->ops->errtext ? layer->below->ops->errtext(layer->below) : NULL;
}

static void inflate_free(struct prot_layer *layer)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    inflateEnd(&d->z);
    free(d->fed);
    free(d);
}

static void deflate_free(struct prot_layer *layer)
{
    struct deflate_layer *d = (struct deflate_layer *)layer;

    deflateEnd(&d->z);
    free(d);
}

static const struct prot_layer_ops inflate_ops = {
    .name = "deflate",
    .rank = PROT_RANK_DEFLATE,
    .read = inflate_read,
    .pending = inflate_pending,
    .errtext = deflate_errtext,
    .free = inflate_free,
};

static const struct prot_layer_ops deflate_ops = {
    .name = "deflate",
    .rank = PROT_RANK_DEFLATE,
    .write = deflate_write,
    .flush = deflate_flush,
    .errtext = deflate_errtext,
    .free = deflate_free,
};

struct prot_layer *prot_deflate_new(bool write)
{
    struct deflate_layer *d = xzmalloc(sizeof(*d));
    int r;

    d->layer.ops = write ? &deflate_ops : &inflate_ops;
    if (write)
        r = deflateInit2(&d->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
                         Z_DEFAULT_STRATEGY);
    else
        r = inflateInit2(&d->z, -MAX_WBITS);
    if (r != Z_OK) {
        free(d);
        return NULL;
    }
    return &d->layer;
}
