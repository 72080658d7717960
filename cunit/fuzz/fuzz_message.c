/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages: any bytes are one. The cache record must be whole, every part inside the
 * message, its items readable, and every section that it names inside the message.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "message_check.h"
#include "message_conv.h"
#include "message_section.h"
#include "fuzz.h"

struct input {
    const char *base;
    size_t len;
    const struct cacherecord *rec;
};

static void check_body(const struct body *body, size_t len)
{
    if (body->header_offset > len || body->header_size > len - body->header_offset) abort();
    if (body->content_offset > len || body->content_size > len - body->content_offset) abort();
    for (const struct body *part = body->first; part; part = part->next) check_body(part, len);
}

static int check_part(const char *path, const struct section_part *part, void *rock)
{
    struct input *in = rock;
    struct section_range range;
    struct section_spec spec;
    struct buf bytes = BUF_INITIALIZER;
    size_t used;

    if (!section_spec_parse(path, strlen(path), &spec, &used)) abort();
    if (section_find(in->rec, MAILBOX_CACHE_MINOR_VERSION, in->len, &spec, &range)) abort();
    if (range.offset != part->content_offset || range.size != part->content_size) abort();
    if (range.size < 10000) section_binary(&range, in->base, in->len, &bytes);
    buf_free(&bytes);
    return 0;
}

static void check_record(const struct cacherecord *rec)
{
    struct buf subject = BUF_INITIALIZER, old = BUF_INITIALIZER;
    struct rfc822_address addr;
    struct conv_msgids ids;

    if (conv_msgids_from_cache(rec, &ids)) abort();
    conv_msgids_fini(&ids);
    if (conv_subject_from_cache(rec, &subject, &old)) abort();
    conv_sender_from_cache(rec, &addr);
    buf_free(&subject);
    buf_free(&old);
}

void fuzz_message(const uint8_t *data, size_t size)
{
    struct message_content *m = message_parse((const char *)data, size, NULL);
    struct buf record = BUF_INITIALIZER, other = BUF_INITIALIZER;
    struct cacherecord rec;
    struct input in = { (const char *)data, size, &rec };
    uint32_t crc;

    check_body(m->body, size);
    message_write_cache(m, &record, &crc);
    if (cacherecord_parse_crc(record.s, record.len, crc, &rec) || rec.len != record.len) abort();
    if (section_foreach(&rec, MAILBOX_CACHE_MINOR_VERSION, check_part, &in)) abort();
    check_record(&rec);
    message_content_free(&m);

    message_check((const char *)data, size, 0);
    message_check((const char *)data, size, MESSAGE_CHECK_BINARY | MESSAGE_CHECK_LMTP);
    message_encode_binary((const char *)data, size, NULL, &other);
    buf_free(&record);
    buf_free(&other);
}
