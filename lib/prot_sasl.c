/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_sasl -- the SASL security layer (integrity or privacy) of a stream
 *
 * libsasl keeps the decoded or encoded bytes until the next call on the same
 * connection and direction; they are taken from there. A packet that does not
 * verify is EBADMSG, and nothing of it is handed out.
 */
#include <config.h>

#include <errno.h>
#include <sasl/sasl.h>
#include <stdlib.h>
#include <string.h>

#include "prot_int.h"
#include "util.h"
#include "xmalloc.h"

struct sasl_layer {
    struct prot_layer layer;
    sasl_conn_t *conn;
    unsigned maxout; /* bytes that may be encoded at once */
    const char *out; /* libsasl's: decoded and not yet read, or encoded and not yet sent */
    unsigned left;
    bool broken; /* errtext is libsasl's */
};

static int broken(struct sasl_layer *sl)
{
    sl->broken = true;
    errno = EBADMSG;
    return -1;
}

static ssize_t sasl_read(struct prot_layer *layer, void *dst, size_t len)
{
    struct sasl_layer *sl = (struct sasl_layer *)layer;
    char in[4096];

    while (!sl->left) {
        ssize_t n = prot_below_read(layer, in, sizeof(in));
        if (n <= 0) return n;
        if (sasl_decode(sl->conn, in, (unsigned)n, &sl->out, &sl->left) != SASL_OK) {
            sl->left = 0;
            return broken(sl);
        }
    }
    len = cyr_min(len, (size_t)sl->left);
    memcpy(dst, sl->out, len);
    sl->out += len;
    sl->left -= (unsigned)len;
    return (ssize_t)len;
}

static bool sasl_pending(struct prot_layer *layer)
{
    return ((struct sasl_layer *)layer)->left != 0;
}

static int sasl_drain(struct prot_layer *layer)
{
    struct sasl_layer *sl = (struct sasl_layer *)layer;

    while (sl->left) {
        ssize_t n = prot_below_write(layer, sl->out, sl->left);
        if (n < 0) return -1;
        sl->out += n;
        sl->left -= (unsigned)n;
    }
    return 0;
}

static ssize_t sasl_write(struct prot_layer *layer, const void *src, size_t len)
{
    struct sasl_layer *sl = (struct sasl_layer *)layer;

    if (sasl_drain(layer)) return -1;
    len = cyr_min(len, (size_t)sl->maxout);
    if (sasl_encode(sl->conn, src, (unsigned)len, &sl->out, &sl->left) != SASL_OK) {
        sl->left = 0;
        return broken(sl);
    }
    if (sasl_drain(layer) && errno != EAGAIN) return -1;
    return (ssize_t)len;
}

static int sasl_flush(struct prot_layer *layer)
{
    if (sasl_drain(layer)) return -1;
    return prot_below_flush(layer);
}

static const char *sasl_errtext(struct prot_layer *layer)
{
    struct sasl_layer *sl = (struct sasl_layer *)layer;

    if (sl->broken) return sasl_errdetail(sl->conn);
    return layer->below->ops->errtext ? layer->below->ops->errtext(layer->below) : NULL;
}

static void sasl_free(struct prot_layer *layer)
{
    free(layer);
}

static const struct prot_layer_ops reader_ops = {
    .name = "sasl",
    .rank = PROT_RANK_SASL,
    .read = sasl_read,
    .pending = sasl_pending,
    .errtext = sasl_errtext,
    .free = sasl_free,
};

static const struct prot_layer_ops writer_ops = {
    .name = "sasl",
    .rank = PROT_RANK_SASL,
    .write = sasl_write,
    .flush = sasl_flush,
    .errtext = sasl_errtext,
    .free = sasl_free,
};

struct prot_layer *prot_sasl_new(void *conn, bool write)
{
    const void *ssf, *maxout;

    if (sasl_getprop(conn, SASL_SSF, &ssf) != SASL_OK || !*(const sasl_ssf_t *)ssf) return NULL;
    struct sasl_layer *sl = xzmalloc(sizeof(*sl));
    sl->layer.ops = write ? &writer_ops : &reader_ops;
    sl->conn = conn;
    sl->maxout = 1024;
    if (sasl_getprop(conn, SASL_MAXOUTBUF, &maxout) == SASL_OK && *(const unsigned *)maxout)
        sl->maxout = *(const unsigned *)maxout;
    return &sl->layer;
}
