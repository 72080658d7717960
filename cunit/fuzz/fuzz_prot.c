/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compressed streams. The first byte says which compression (bit 0: zstd), whether the rest is what a peer sends (bit 1
 * clear), to be unfolded, or text to be sent (set), which must come back as it was; and how large the pieces are (the other bits). Of
 * what unfolds only so much is taken: the layer must not hold more than was asked for.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "prot.h"

#define MOST (1u << 20)

static void compress(struct protstream *s, uint8_t how)
{
    bool zstd = (how & 1) && prot_haszstd();
    if ((zstd ? prot_setzstd(s) : prot_setcompress(s)) != 0) abort();
}

/* A file with these bytes, at its start; the way is short enough for no signal to come. */
static int file_of(const void *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET)) abort();
    return fd;
}

/* The first byte is read as it is, so a part of the rest waits in the stream when the layer comes. */
static void unfold(uint8_t how, const uint8_t *data, size_t size)
{
    int fd = file_of(data, size);
    struct protstream *in = prot_new(fd, false);
    char piece[1024]; /* at least 1 + 63 * 16 */
    size_t n = prot_getc(in) == EOF ? 0 : 1;

    if (n) compress(in, how);
    for (size_t taken = 0; n && taken < MOST; taken += n) {
        n = prot_read(in, piece, 1 + (size_t)(how >> 2) * 16);
        if (n > 1 + (size_t)(how >> 2) * 16) abort();
    }
    prot_free(in);
    close(fd);
}

static void there_and_back(uint8_t how, const uint8_t *data, size_t size)
{
    int fd = file_of("", 0);
    struct protstream *out = prot_new(fd, true), *in = prot_new(fd, false);
    size_t piece = 1 + (size_t)(how >> 2) * 16, at = 0;
    char got[1024];

    compress(out, how);
    for (; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        if (prot_write(out, (const char *)data + at, n) || prot_flush(out)) abort();
    }
    prot_free(out);
    if (lseek(fd, 0, SEEK_SET)) abort();
    compress(in, how);
    for (at = 0; at < size;) {
        size_t n = prot_read(in, got, piece);
        if (!n || n > size - at || memcmp(got, data + at, n)) abort();
        at += n;
    }
    prot_free(in);
    close(fd);
}

void fuzz_prot(const uint8_t *data, size_t size)
{
    if (!size) return;
    if (data[0] & 2)
        there_and_back(data[0], data + 1, size - 1);
    else
        unfold(data[0], data, size);
}
