/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cache records from a damaged file: whatever the bytes, an error or views inside of
 * them. The first byte is the cache version.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "message_conv.h"
#include "message_section.h"
#include "fuzz.h"

static int count_part(const char *path, const struct section_part *part, void *rock)
{
    size_t *left = rock;

    (void)part;
    if (!*path) abort();
    return --*left ? 0 : 1;
}

static void look_up(const struct cacherecord *rec, unsigned version, const char *section)
{
    struct section_range range;
    struct section_spec spec;
    size_t used;

    if (!section_spec_parse(section, strlen(section), &spec, &used)) abort();
    if (section_find(rec, version, 1000, &spec, &range)) return;
    if ((uint64_t)range.offset + range.size > 1000) abort();
}

void fuzz_cache(const uint8_t *data, size_t size)
{
    struct buf subject = BUF_INITIALIZER, old = BUF_INITIALIZER;
    struct rfc822_address addr;
    struct conv_msgids ids;
    struct cacherecord rec;
    size_t parts = 10000;

    if (!size || cacherecord_parse((const char *)data + 1, size - 1, &rec)) return;
    look_up(&rec, data[0], "");
    look_up(&rec, data[0], "1.2.1");
    look_up(&rec, data[0], "2.MIME");
    look_up(&rec, data[0], "1.HEADER");
    section_foreach(&rec, data[0], count_part, &parts);
    if (!conv_msgids_from_cache(&rec, &ids)) conv_msgids_fini(&ids);
    conv_subject_from_cache(&rec, &subject, &old);
    conv_sender_from_cache(&rec, &addr);
    buf_free(&subject);
    buf_free(&old);
}
