/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_block -- a message in a few lines for a person at a terminal
 */
#include <config.h>

#include "message_block.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "mailbox.h"
#include "message_cache.h"
#include "util.h"

static void print_date(const char *label, time_t t)
{
    struct tm tm;
    char text[64];

    localtime_r(&t, &tm);
    strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
    printf("\t%s: %s\n", label, text);
}

int message_block_print(struct mailbox *mailbox, const struct index_record *rec, bool expunged)
{
    static const struct {
        enum cache_item item;
        const char *label;
    } lines[] = { { CACHE_FROM, "From" },
                  { CACHE_TO, "To  " },
                  { CACHE_CC, "Cc  " },
                  { CACHE_BCC, "Bcc " },
                  { CACHE_SUBJECT, "Subj" } };
    struct cacherecord cache;
    struct buf view = BUF_INITIALIZER;

    printf("UID: %" PRIu32 "\n\tSize: %" PRIu32 "\n", rec->uid, rec->size);
    print_date("Sent", rec->sentdate);
    print_date("Recv", rec->internaldate);
    if (expunged) print_date("Expg", rec->last_updated);
    int r = mailbox_cacherecord(mailbox, rec, &view);
    if (!r) r = cacherecord_parse(buf_base(&view), buf_len(&view), &cache);
    for (size_t i = 0; !r && i < array_size(lines); i++) {
        printf("\t%s: ", lines[i].label);
        fwrite(cacheitem_base(&cache, lines[i].item), 1, cacheitem_size(&cache, lines[i].item),
               stdout);
        putchar('\n');
    }
    putchar('\n');
    return r;
}
