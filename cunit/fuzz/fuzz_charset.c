/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Charsets and encodings of mail: bodies in any charset, encoded words, HTML, the search
 * form, and addresses. What comes out must be valid UTF-8. Input: encoding and flags (two
 * bytes), name of the charset up to a LF, the text.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "charset.h"
#include "fuzz.h"
#include "message_arena.h"
#include "rfc822_addr.h"

static void check_utf8(struct buf *buf)
{
    if (!charset_utf8_valid(buf->s ? buf->s : "", buf->len)) abort();
    buf_reset(buf);
}

static void bodies(const char *name, size_t namelen, enum mime_encoding encoding, unsigned flags,
                   const char *s, size_t len)
{
    charset_t cs = charset_lookupname(name, namelen);
    unsigned char sha1[SHA1_SIZE];
    struct buf out = BUF_INITIALIZER;
    size_t size;

    charset_decode_mimebody(s, len, encoding, &out);
    charset_digest_mimebody(s, len, encoding, sha1, &size);
    buf_reset(&out);
    if (charset_to_utf8(s, len, cs, encoding, &out)) check_utf8(&out);
    buf_reset(&out);
    if (charset_convert(s, len, cs, flags, &out)) check_utf8(&out);
    charset_searchfile("ab", 2, s, len, cs, encoding, flags & 32 ? "HTML" : "PLAIN", flags & 31);
    buf_free(&out);
    charset_free(&cs);
}

static void headers(const char *s, size_t len, unsigned flags)
{
    struct message_arena *arena = message_arena_new();
    struct buf out = BUF_INITIALIZER;

    charset_decode_mimeheader(s, len, flags & 1, &out);
    check_utf8(&out);
    charset_utf8_to_searchform(s, len, flags & 31, &out);
    buf_reset(&out);
    charset_search_mimeheader("ab", 2, s, len, flags & 31);
    charset_encode_mimeheader(s, len, &out);
    buf_reset(&out);
    struct rfc822_address *list = rfc822_addr_parse(arena, s, len);
    rfc822_addr_write_envelope(list, &out);
    rfc822_addr_write_search(list, flags & 1, &out);
    message_arena_free(&arena);
    buf_free(&out);
}

void fuzz_charset(const uint8_t *data, size_t size)
{
    static const enum mime_encoding encodings[] = { MIME_ENCODING_NONE, MIME_ENCODING_QP,
                                                    MIME_ENCODING_BASE64, MIME_ENCODING_UNKNOWN };
    const char *name = (const char *)data + 2;
    const char *lf = size > 2 ? memchr(name, '\n', size - 2) : NULL;

    if (!lf) return;
    size_t len = (size_t)((const char *)data + size - lf - 1);
    bodies(name, (size_t)(lf - name), encodings[data[0] % 4], data[1], lf + 1, len);
    headers(lf + 1, len, data[1]);
}
