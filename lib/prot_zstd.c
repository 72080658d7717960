/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_zstd -- compression between servers of ours (doc/sync-extensions.md, COMPRESS ZSTD): one frame, window 17
 *
 * Reading: compressed bytes wait in `in` until the caller takes what they unfold to; never more is unfolded than was asked for, and a
 * frame that wants a larger window than ours is refused, so a peer costs no more memory than a window and some blocks (0.7 MB; writing
 * takes 1.7 MB). Writing: compressed bytes that the layer below could not take wait in `io`; a flush ends a
 * block, so the peer can unfold all of it. Bytes that are no zstd are EBADMSG; the end of the frame is the end of input.
 *
 * A build without libzstd makes no such layers.
 */
#include <config.h>

#include "prot_int.h"

#ifdef HAVE_ZSTD
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "util.h"
#include "xmalloc.h"

#define CHUNK PROT_BUFSIZE
#define WINDOW_LOG 17
#define LEVEL 3

struct zstd_layer {
    struct prot_layer layer;
    ZSTD_DCtx *d; /* one of them */
    ZSTD_CCtx *c;
    ZSTD_inBuffer in;        /* reading: bytes to be unfolded, in io or fed */
    unsigned char io[CHUNK]; /* compressed bytes: to be unfolded, or to be sent */
    size_t pos, len;         /* writing: unsent bytes in io */
    unsigned char *fed;      /* reading: input taken over at the start, until it is used up */
    bool more; /* reading: the library may hold output back; writing: bytes since the last flush */
    bool ended;
    const char *errtext;
};

static int failed(struct zstd_layer *z, size_t code)
{
    z->errtext = ZSTD_getErrorName(code);
    errno = EBADMSG;
    return -1;
}

/* ---- reading ---- */

static ssize_t refill(struct zstd_layer *z)
{
    ssize_t n = prot_below_read(&z->layer, z->io, sizeof(z->io));

    if (n <= 0) return n;
    xzfree(z->fed);
    z->in = (ZSTD_inBuffer){ z->io, (size_t)n, 0 };
    return n;
}

static ssize_t zstd_read(struct prot_layer *layer, void *dst, size_t len)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    while (!z->ended) {
        ZSTD_outBuffer out = { dst, len, 0 };
        size_t r = ZSTD_decompressStream(z->d, &out, &z->in);
        if (ZSTD_isError(r)) return failed(z, r);
        z->ended = !r;
        z->more = out.pos == out.size;
        if (out.pos) return (ssize_t)out.pos;
        if (z->ended || z->in.pos < z->in.size) continue;
        ssize_t n = refill(z);
        if (n <= 0) return n;
    }
    return 0;
}

static bool zstd_pending(struct prot_layer *layer)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    return z->in.pos < z->in.size || z->more;
}

void prot_zstd_feed(struct prot_layer *layer, const void *base, size_t len)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    z->fed = xmemdup(base, len);
    z->in = (ZSTD_inBuffer){ z->fed, len, 0 };
}

/* ---- writing ---- */

/* Send what waits in io: 0 all gone, -1 errno. */
static int drain(struct zstd_layer *z)
{
    while (z->pos < z->len) {
        ssize_t n = prot_below_write(&z->layer, z->io + z->pos, z->len - z->pos);
        if (n < 0) return -1;
        z->pos += (size_t)n;
    }
    return 0;
}

/* Fold into the empty io: 0, 1 the library has more to give, -1 errno. */
static int fold(struct zstd_layer *z, ZSTD_inBuffer *in, ZSTD_EndDirective how)
{
    ZSTD_outBuffer out = { z->io, sizeof(z->io), 0 };
    size_t r = ZSTD_compressStream2(z->c, &out, in, how);

    if (ZSTD_isError(r)) return failed(z, r);
    z->pos = 0;
    z->len = out.pos;
    return r != 0;
}

static ssize_t zstd_write(struct prot_layer *layer, const void *src, size_t len)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;
    ZSTD_inBuffer in = { src, len, 0 };

    do { /* there may be output of before to get rid of first */
        if (drain(z) || fold(z, &in, ZSTD_e_continue) < 0) return -1;
    } while (!in.pos);
    z->more = true;
    if (drain(z) && errno != EAGAIN) return -1;
    return (ssize_t)in.pos;
}

static int zstd_flush(struct prot_layer *layer)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    if (drain(z)) return -1;
    while (z->more) {
        ZSTD_inBuffer none = { NULL, 0, 0 };
        int r = fold(z, &none, ZSTD_e_flush);
        if (r < 0) return -1;
        z->more = r > 0;
        if (drain(z)) return -1;
    }
    return prot_below_flush(layer);
}

/* ---- both ---- */

static const char *zstd_errtext(struct prot_layer *layer)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    if (z->errtext) return z->errtext;
    return layer->below->ops->errtext ? layer->below->ops->errtext(layer->below) : NULL;
}

static void zstd_free(struct prot_layer *layer)
{
    struct zstd_layer *z = (struct zstd_layer *)layer;

    ZSTD_freeDCtx(z->d);
    ZSTD_freeCCtx(z->c);
    free(z->fed);
    free(z);
}

static const struct prot_layer_ops read_ops = {
    .name = "zstd",
    .rank = PROT_RANK_DEFLATE,
    .read = zstd_read,
    .pending = zstd_pending,
    .errtext = zstd_errtext,
    .free = zstd_free,
};

static const struct prot_layer_ops write_ops = {
    .name = "zstd",
    .rank = PROT_RANK_DEFLATE,
    .write = zstd_write,
    .flush = zstd_flush,
    .errtext = zstd_errtext,
    .free = zstd_free,
};

struct prot_layer *prot_zstd_new(bool write)
{
    struct zstd_layer *z = xzmalloc(sizeof(*z));
    size_t r = 0;

    z->layer.ops = write ? &write_ops : &read_ops;
    if (write && (z->c = ZSTD_createCCtx())) {
        r = ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, LEVEL);
        if (!ZSTD_isError(r)) r = ZSTD_CCtx_setParameter(z->c, ZSTD_c_windowLog, WINDOW_LOG);
    }
    if (!write && (z->d = ZSTD_createDCtx())) r = ZSTD_DCtx_setParameter(z->d, ZSTD_d_windowLogMax, WINDOW_LOG);
    if ((z->c || z->d) && !ZSTD_isError(r)) return &z->layer;
    zstd_free(&z->layer);
    return NULL;
}

#else

struct prot_layer *prot_zstd_new(bool write __attribute__((unused)))
{
    return NULL;
}

void prot_zstd_feed(struct prot_layer *layer __attribute__((unused)), const void *base __attribute__((unused)),
                    size_t len __attribute__((unused)))
{
}
#endif
