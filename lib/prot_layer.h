/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_PROT_LAYER_H
#define INCLUDED_PROT_LAYER_H
/*
 * prot_layer -- what a transport layer of a protocol stream has to do
 *
 * A layer serves one direction of one stream. It never waits: when it cannot go
 * on it returns -1 with errno EAGAIN and says in `want` (POLLIN or POLLOUT) and
 * `waitfd` what the stream has to wait for. Any other errno is final.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct prot_layer;

/* Order in the stack; a layer of lower rank is nearer to the wire. */
enum prot_rank { PROT_RANK_RAW, PROT_RANK_TLS, PROT_RANK_SASL, PROT_RANK_DEFLATE };

struct prot_layer_ops {
    const char *name;
    enum prot_rank rank;
    /* Up to len bytes into dst: count, 0 at the end, -1 errno. NULL on a writing layer. */
    ssize_t (*read)(struct prot_layer *layer, void *dst, size_t len);
    /* Take up to len bytes: count taken (> 0), -1 errno. NULL on a reading layer. */
    ssize_t (*write)(struct prot_layer *layer, const void *src, size_t len);
    /* Push what was taken towards the wire: 0 done, -1 errno. NULL: holds nothing back. */
    int (*flush)(struct prot_layer *layer);
    /* read() has, or may have, bytes without touching the layer below. NULL: never. */
    bool (*pending)(struct prot_layer *layer);
    /* Text for the last error, or NULL for strerror. */
    const char *(*errtext)(struct prot_layer *layer);
    void (*free)(struct prot_layer *layer);
};

struct prot_layer {
    const struct prot_layer_ops *ops;
    struct prot_layer *below; /* set by prot_pushlayer; NULL for the raw layer */
    int waitfd;               /* after EAGAIN: descriptor and poll events to wait for */
    short want;
};

/* Call the layer below and pass its EAGAIN state up. */
ssize_t prot_below_read(struct prot_layer *layer, void *dst, size_t len);
ssize_t prot_below_write(struct prot_layer *layer, const void *src, size_t len);
int prot_below_flush(struct prot_layer *layer);

/* The raw layer over a descriptor (a socket is read and written without ever blocking). */
struct prot_layer *prot_raw_new(int fd, bool write);
struct prot_layer *prot_deflate_new(bool write);
/* NULL also where there is no libzstd. */
struct prot_layer *prot_zstd_new(bool write);
struct prot_layer *prot_sasl_new(void *conn, bool write);

#endif
