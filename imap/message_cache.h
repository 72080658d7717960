/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_CACHE_H
#define INCLUDED_MESSAGE_CACHE_H
/*
 * message_cache -- one record of cyrus.cache (handbook 02 §4)
 *
 * Ten items, each a length, bytes and padding. A reader gets views of the mapped
 * file; nothing is copied. Record offsets and the checksum of the whole record are
 * kept by the index record.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "strarray.h"

#define MAILBOX_CACHE_MINOR_VERSION 11 /* cache_version of new records */
#define CACHE_FILE_HEADER_SIZE 4       /* the generation number, before the first record */

enum cache_item {
    CACHE_ENVELOPE,
    CACHE_BODYSTRUCTURE,
    CACHE_BODY,
    CACHE_SECTION,
    CACHE_HEADERS,
    CACHE_FROM,
    CACHE_TO,
    CACHE_CC,
    CACHE_BCC,
    CACHE_SUBJECT,
    NUM_CACHE_FIELDS
};

struct cacherecord {
    const char *base; /* of the record */
    size_t len;       /* bytes of the record, padding included */
    struct {
        uint32_t offset, len; /* bytes of the item; offset from base */
    } item[NUM_CACHE_FIELDS];
};

/* Append the record of a message in the present version, and tell its CRC32. */
void message_write_cache(const struct message_content *content, struct buf *dst, uint32_t *crc);

/*
 * Read the record at base; avail bytes may follow, the record ends where its items end.
 * IMAP_MAILBOX_BADFORMAT: items run over the end.
 */
int cacherecord_parse(const char *base, size_t avail, struct cacherecord *rec);
/* The same with the check of its CRC32 (cache_crc of the index record); IMAP_MAILBOX_CHECKSUM. */
int cacherecord_parse_crc(const char *base, size_t avail, uint32_t crc, struct cacherecord *rec);

static inline const char *cacheitem_base(const struct cacherecord *rec, enum cache_item item)
{
    return rec->base + rec->item[item].offset;
}
static inline size_t cacheitem_size(const struct cacherecord *rec, enum cache_item item)
{
    return rec->item[item].len;
}
static inline struct msgtext cacheitem_text(const struct cacherecord *rec, enum cache_item item)
{
    return (struct msgtext){ cacheitem_base(rec, item), cacheitem_size(rec, item) };
}

/* ---- ENVELOPE and SUBJECT taken apart ---- */

enum envelope_field {
    ENV_DATE,
    ENV_SUBJECT,
    ENV_FROM,
    ENV_SENDER,
    ENV_REPLYTO,
    ENV_TO,
    ENV_CC,
    ENV_BCC,
    ENV_INREPLYTO,
    ENV_MSGID,
    NUM_ENVELOPE_TOKENS
};
/*
 * The fields of an ENVELOPE item as views: nstrings without quotes or literal head (s NULL: NIL),
 * address lists with their parentheses (s NULL: NIL). IMAP_MAILBOX_BADFORMAT.
 */
int cacheitem_parse_envelope(const char *base, size_t len,
                             struct msgtext tokens[NUM_ENVELOPE_TOKENS]);
/*
 * The next address of a list from cacheitem_parse_envelope(); *list moves on. False at the end.
 * Group marks come as rfc822_addr.h has them; addr->next is not set.
 */
bool cacheitem_next_address(struct msgtext *list, struct rfc822_address *addr);
/* The bytes of an item that is one nstring (SUBJECT). */
int cacheitem_parse_nstring(const char *base, size_t len, struct msgtext *value);

/* ---- which headers are cached (handbook 02 §4.4) ---- */

#define BIT32_MAX_CACHE_VERSION 0xffffu /* "never" */
/* Lowest cache_version whose records hold the field, BIT32_MAX_CACHE_VERSION: none does. */
unsigned mailbox_cached_header(const char *name, size_t len);
/* Are all these fields in a record of that version? */
bool mailbox_headers_cached(const strarray_t *names, unsigned cache_version);

#endif
