/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.header: the magic with any bytes behind it. A file that is taken must be
 * taken again after it was written, and be written the same way then.
 */
#include <config.h>

#include <stdlib.h>

#include "buf.h"
#include "mailbox_header.h"
#include "fuzz.h"

void fuzz_header(const uint8_t *data, size_t size)
{
    static struct buf file, again;
    struct mailbox_header h = MAILBOX_HEADER_INITIALIZER;

    mailbox_header_print(&h, &file);
    buf_truncate(&file, MAILBOX_HEADER_MAGIC_SIZE);
    buf_appendmap(&file, data, size);
    if (!mailbox_header_parse(&h, file.s, file.len)) {
        mailbox_header_print(&h, &file);
        if (mailbox_header_parse(&h, file.s, file.len)) abort();
        mailbox_header_print(&h, &again);
        if (!buf_equal(&file, &again)) abort();
    }
    mailbox_header_fini(&h);
}
