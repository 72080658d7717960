/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_PROT_INT_H
#define INCLUDED_PROT_INT_H
/*
 * prot_int -- what the files of prot share
 *
 * Invariants: a stream with errtext set moves no more bytes. A reading stream's
 * unread bytes are head.ptr..+head.left, in buf or in the caller's map; a writing
 * stream's unsent bytes are buf..+fill. Memory streams have no layers (top NULL).
 */
#include "prot.h"
#include "prot_layer.h"

struct prot_callback {
    prot_waitproc *proc;
    void *rock;
};

struct prot_waitfd {
    int fd;
    struct prot_callback cb;
};

struct protstream {
    struct prot_head head; /* first, for the inline prot_getc */
    unsigned char *buf;    /* PROT_BUFSIZE bytes; NULL until it is needed, and for memory streams */
    size_t fill;
    struct prot_layer *top;
    struct buf *membuf; /* of prot_writebuf */
    int fd;
    bool write;
    bool isclient;

    const char *errtext;
    char errbuf[128]; /* where errtext is not static */
    int err;
    bool eof, timedout;

    int timeout;   /* seconds */
    int64_t clock; /* ms: when a wait began, or a byte moved in it */
    struct protstream *flushonread;
    int logfd;
    uint64_t bytes; /* reading: brought in, head.left included; writing: taken */
    uint64_t mark;
    struct prot_limits limits;
    /* imparse: a word at the end of a line that looks like "{n+}", and prot_bytes() behind it */
    uint64_t announced, announced_at;

    struct prot_waitfd waitfds[PROT_MAXWAITFDS];
    size_t nwaitfds;
    struct prot_callback timer, interrupt;
    int timer_ms;
};

/* Milliseconds of the steady clock. */
int64_t prot_now(void);
/* The stream fails with errno err; text NULL: the layer's words or strerror. Always EOF. */
int prot_fail(struct protstream *s, int err, const char *text);
int prot_fail_timeout(struct protstream *s);
/* Traffic to the log, with its mark in front. */
void prot_log(struct protstream *s, const void *base, size_t len);
/* One try to get input: 1 there is some, 0 at the end or failed (state is set), -1 not now. */
int prot_tryfill(struct protstream *s);
/* Get input, waiting if need be: 0 or EOF. */
int prot_fill(struct protstream *s);
/* After EAGAIN of the layers of a writing stream: wait until it is worth trying again. 0 or EOF. */
int prot_waitoutput(struct protstream *s);
/* Wait for input within the time limit, serving the wait procs. 0 or EOF. */
int prot_waitinput(struct protstream *s);
/* Compressed bytes that the stream had read ahead. */
void prot_deflate_feed(struct prot_layer *layer, const void *base, size_t len);
void prot_zstd_feed(struct prot_layer *layer, const void *base, size_t len);

/* A descriptor without ever blocking or raising SIGPIPE (on sockets): as read and write, EAGAIN. */
bool prot_fd_issocket(int fd);
ssize_t prot_fd_read(int fd, bool sock, void *dst, size_t len);
ssize_t prot_fd_write(int fd, bool sock, const void *src, size_t len);

#endif
