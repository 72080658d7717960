/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of the journal with the right checksums, so that the bytes behind them are read:
 * every string, operation and event must lie inside the record.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "buf.h"
#include "fuzz.h"
#include "journal_record.h"
#include "util.h"

/* Reads every byte, where the sanitizer sees it. */
static void touch(const char *s, size_t len)
{
    volatile char sum = 0;

    for (size_t i = 0; i < len; i++) sum = (char)(sum + s[i]);
}

static void walk(const struct journal_view *view)
{
    struct journal_op_iter ops;
    struct journal_event_iter events;
    struct journal_op op;
    const char *line;
    unsigned flags;
    bool early;

    for (uint32_t n = 0; n < view->head.nlocks; n++) {
        const char *name = journal_view_lock(view, n, &early);
        touch(name, strlen(name));
    }
    journal_op_iter_init(&ops, view);
    while (journal_op_iter_next(&ops, &op)) {
        journal_op_name(op.kind);
        touch(op.path, op.path ? strlen(op.path) : 0);
        touch(op.path2, op.path2 ? strlen(op.path2) : 0);
        touch(op.key, op.keylen);
        touch(op.data, op.datalen);
    }
    journal_event_iter_init(&events, view);
    while (journal_event_iter_next(&events, &line, &flags)) touch(line, strlen(line));
}

void fuzz_journal(const uint8_t *data, size_t size)
{
    struct journal_view view;

    if (size < JOURNAL_RECORD_HEAD) return;
    size_t len = size & ~(size_t)7;
    char *bytes = malloc(len);
    memcpy(bytes, data, len);
    put_be32(bytes, JOURNAL_RECORD_MAGIC);
    put_be32(bytes + 4, (uint32_t)len);
    put_be64(bytes + 8, 4096);
    put_be32(bytes + 64, crc32_map(bytes + JOURNAL_RECORD_HEAD, len - JOURNAL_RECORD_HEAD));
    put_be32(bytes + 68, crc32_map(bytes, 68));
    if (!journal_view_init(&view, bytes, len, 4096)) {
        walk(&view);
        journal_view_fini(&view);
    }
    free(bytes);
}
