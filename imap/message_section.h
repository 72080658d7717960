/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_MESSAGE_SECTION_H
#define INCLUDED_MESSAGE_SECTION_H
/*
 * message_section -- BODY[...], BINARY[...] from the cached SECTION item and the message file
 *
 * The item (handbook 02 §4.3) is a tree of offsets; a section is found by walking
 * it, and served as a view of the mapped message. The message is not parsed again.
 * Numbers in the item are bounded by the item, ranges by the message, so a damaged
 * item can't reach beyond either.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message_cache.h"

/* ---- what a client asks for (RFC 3501 §6.4.5) ---- */

enum section_what {
    SECTION_BODY,   /* "" or "1.2": content of a part; the whole message */
    SECTION_HEADER, /* HEADER: of the message, or of the message inside part 1.2 */
    SECTION_TEXT,   /* TEXT */
    SECTION_MIME,   /* MIME: header of part 1.2 */
    SECTION_FIELDS, /* HEADER.FIELDS */
    SECTION_FIELDS_NOT,
};
struct section_spec {
    struct msgtext path; /* "1.2" or empty; syntax checked */
    bool has_zero;       /* a number of the path is 0: there is no such part, BINARY[0] is BAD */
    enum section_what what;
};
/*
 * Read the text of a section up to ']', or for HEADER.FIELDS up to behind that word; *used tells
 * how many bytes. False: not a section ("MIME" alone, "01", "1.", "FOO"). Any case.
 */
bool section_spec_parse(const char *s, size_t len, struct section_spec *spec, size_t *used);

/* ---- where it is ---- */

/* One part of a SECTION item. */
struct section_part {
    uint32_t header_offset, header_size;   /* size UINT32_MAX: no header of its own */
    uint32_t content_offset, content_size; /* size UINT32_MAX: no content of its own */
    enum mime_encoding encoding;
    struct msgtext charset; /* as spelled; s NULL: none */
    struct message_guid guid; /* of the decoded content; null: unknown */
    uint32_t decoded_size, content_lines; /* 0 where the record is too old to tell */
};
struct section_range {
    uint32_t offset, size; /* bytes of the message file */
    struct section_part part; /* for a numbered part or the body of the message */
};
/*
 * Where the bytes of a section are. For the two FIELDS forms the range is the header that is to be
 * filtered. IMAP_NOTFOUND: the message has no such section (the answer is NIL).
 * IMAP_MAILBOX_BADFORMAT: the item is damaged. msg_size: bytes of the message file.
 */
int section_find(const struct cacherecord *rec, unsigned cache_version, size_t msg_size,
                 const struct section_spec *spec, struct section_range *range);

/*
 * Calls fn for every part that has a number and a content, in the order of their numbers, parts of
 * nested messages included: "1", "2", "2.1" ... Stops and returns when fn does not return 0.
 */
typedef int section_foreach_cb(const char *path, const struct section_part *part, void *rock);
int section_foreach(const struct cacherecord *rec, unsigned cache_version, section_foreach_cb *fn,
                    void *rock);

/* ---- its bytes ---- */

/* The piece [start, start+count) of a range as a view of the message; cut to what there is. */
struct msgtext section_view(const struct section_range *range, const char *msg, size_t msg_size,
                            uint64_t start, uint64_t count);
/* Append the fields that a HEADER.FIELDS[.NOT] asks for, and the blank line. */
void section_fields(const struct section_range *range, const char *msg, size_t msg_size,
                    const strarray_t *names, bool not, struct buf *dst);
/* The same of the top header from the HEADERS item; only if mailbox_headers_cached(). */
void section_fields_cached(const struct cacherecord *rec, const strarray_t *names,
                           struct buf *dst);
/*
 * Append the decoded content for BINARY[1.2]; its length is BINARY.SIZE. IMAP_NO_UNKNOWN_CTE: it
 * can't be decoded.
 */
int section_binary(const struct section_range *range, const char *msg, size_t msg_size,
                   struct buf *dst);

#endif
