/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IMAP: any bytes as what a client sends, by the first byte before login, as user, as user
 * with a selected mailbox or as admin, to a store of this process.
 */
#include <config.h>

#include "buf.h"
#include "fuzz.h"

void fuzz_imap(const uint8_t *data, size_t size)
{
    static struct buf input;

    if (!size) return;
    fuzz_store();
    buf_reset(&input);
    if (data[0] % 4 == 2) buf_setcstr(&input, "s SELECT INBOX\r\n");
    buf_appendmap(&input, (const char *)data + 1, size - 1);
    switch (data[0] % 4) {
    case 0: fuzz_imap_session(NULL, input.s, input.len); break;
    case 3: fuzz_imap_session("admin", input.s, input.len); break;
    default: fuzz_imap_session("alice", input.s, input.len);
    }
}
