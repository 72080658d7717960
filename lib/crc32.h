/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crc32 -- the CRC-32 of zlib, of every checksum in the store and in replication
 */
#ifndef CYL_CRC32_H
#define CYL_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct buf;

uint32_t crc32_map(const void *base, size_t len);
uint32_t crc32_cstring(const char *s);
uint32_t crc32_buf(const struct buf *buf);
uint32_t crc32_iovec(const struct iovec *iov, int n);
/* Continues a CRC (0 to begin) over more bytes. */
uint32_t crc32_update(uint32_t crc, const void *base, size_t len);

#endif
