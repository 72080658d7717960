/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.index: any bytes as a header and records of any version. What was read
 * without an error must be the same after writing and reading it again.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mailbox_index.h"
#include "sync_crc.h"
#include "fuzz.h"

static void check(bool ok)
{
    if (!ok) abort();
}

static void one_record(const char *base, size_t len, uint32_t minor)
{
    struct index_record rec, back;
    char out[INDEX_RECORD_MAX];
    int r = index_record_read(&rec, minor, base, len);
    size_t n = index_record_write(&rec, minor, out);

    sync_crc_record(&rec, NULL);
    sync_crc_record_annots(&rec, minor);
    if (r || !n) return;
    check(!index_record_read(&back, minor, out, n));
    check(!memcmp(&rec, &back, sizeof(rec)));
}

void fuzz_index(const uint8_t *data, size_t size)
{
    const char *base = (const char *)data;
    struct index_header hdr, back;
    char out[INDEX_HEADER_MAX];

    for (uint32_t minor = 5; minor < 19; minor++) one_record(base, size, minor);
    if (index_header_read(&hdr, base, size, 1)) return;

    size_t n = index_header_write(&hdr, out);
    check(n && !index_header_read(&back, out, n, 1));
    check(back.exists == hdr.exists || hdr.minor_version < 12);
    check(back.uidvalidity == hdr.uidvalidity && back.num_records == hdr.num_records);
    for (uint32_t recno = 1; recno <= hdr.num_records; recno++) {
        uint64_t off = index_record_offset(&hdr, recno);
        if (off > size) break;
        one_record(base + off, size - off, hdr.minor_version);
    }
}
