/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crc32 -- the CRC-32 of zlib (polynomial 0xEDB88320, "123456789" gives cbf43926)
 *
 * The CRC of no bytes is 0. Nothing fails.
 */
#include <config.h>

#include "crc32.h"

#include <string.h>
#include <zlib.h>

#include "buf.h"

uint32_t crc32_update(uint32_t crc, const void *base, size_t len)
{
    /* A NULL base asks zlib for the initial value, whatever crc is. */
    return len ? (uint32_t)crc32_z(crc, base, len) : crc;
}

uint32_t crc32_map(const void *base, size_t len)
{
    return crc32_update(0, base, len);
}

uint32_t crc32_cstring(const char *s)
{
    return crc32_update(0, s, strlen(s));
}

uint32_t crc32_buf(const struct buf *buf)
{
    return crc32_update(0, buf->s, buf->len);
}

uint32_t crc32_iovec(const struct iovec *iov, int n)
{
    uint32_t crc = 0;

    for (int i = 0; i < n; i++) crc = crc32_update(crc, iov[i].iov_base, iov[i].iov_len);
    return crc;
}
