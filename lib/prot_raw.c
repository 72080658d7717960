/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prot_raw -- the lowest layer: a socket, pipe or file without blocking
 *
 * Descriptors stay in the mode in which they came, as they may be shared with other
 * processes: sockets are used with MSG_DONTWAIT, everything else is polled first,
 * and a pipe gets at most PIPE_BUF bytes at a time, which it then can take.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prot_int.h"
#include "util.h"
#include "xmalloc.h"

struct raw {
    struct prot_layer layer;
    int fd;
    bool sock;
};

bool prot_fd_issocket(int fd)
{
    struct stat st;

    return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

static bool fd_ready(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    if (poll(&p, 1, 0) == 1) return true;
    errno = EAGAIN;
    return false;
}

ssize_t prot_fd_read(int fd, bool sock, void *dst, size_t len)
{
    ssize_t n;

    do {
        if (sock)
            n = recv(fd, dst, len, MSG_DONTWAIT);
        else
            n = fd_ready(fd, POLLIN) ? read(fd, dst, len) : -1;
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EWOULDBLOCK) errno = EAGAIN;
    return n;
}

ssize_t prot_fd_write(int fd, bool sock, const void *src, size_t len)
{
    ssize_t n;

    do {
        if (sock)
            n = send(fd, src, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            n = fd_ready(fd, POLLOUT) ? write(fd, src, cyr_min(len, (size_t)PIPE_BUF)) : -1;
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EWOULDBLOCK) errno = EAGAIN;
    return n;
}

static ssize_t raw_read(struct prot_layer *layer, void *dst, size_t len)
{
    struct raw *raw = (struct raw *)layer;

    return prot_fd_read(raw->fd, raw->sock, dst, len);
}

static ssize_t raw_write(struct prot_layer *layer, const void *src, size_t len)
{
    struct raw *raw = (struct raw *)layer;

    return prot_fd_write(raw->fd, raw->sock, src, len);
}

static void raw_free(struct prot_layer *layer)
{
    free(layer);
}

static const struct prot_layer_ops raw_ops = {
    .name = "raw",
    .rank = PROT_RANK_RAW,
    .read = raw_read,
    .write = raw_write,
    .free = raw_free,
};

struct prot_layer *prot_raw_new(int fd, bool write)
{
    struct raw *raw = xzmalloc(sizeof(*raw));

    raw->layer.ops = &raw_ops;
    raw->layer.waitfd = fd;
    raw->layer.want = write ? POLLOUT : POLLIN;
    raw->fd = fd;
    raw->sock = prot_fd_issocket(fd);
    return &raw->layer;
}

static void pass_up(struct prot_layer *layer)
{
    layer->waitfd = layer->below->waitfd;
    layer->want = layer->below->want;
}

ssize_t prot_below_read(struct prot_layer *layer, void *dst, size_t len)
{
    ssize_t n = layer->below->ops->read(layer->below, dst, len);

    if (n < 0) pass_up(layer);
    return n;
}

ssize_t prot_below_write(struct prot_layer *layer, const void *src, size_t len)
{
    ssize_t n = layer->below->ops->write(layer->below, src, len);

    if (n < 0) pass_up(layer);
    return n;
}

int prot_below_flush(struct prot_layer *layer)
{
    if (!layer->below->ops->flush) return 0;
    int r = layer->below->ops->flush(layer->below);
    if (r < 0) pass_up(layer);
    return r;
}
