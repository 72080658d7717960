/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_cache_read -- cache records read (handbook 02 §4)
 *
 * The bytes come from a file that may be torn or mean something else: every length
 * is held against what is left. Results are views of the record.
 */
#include <config.h>

#include <string.h>

#include "crc32.h"
#include "imap_err.h"
#include "message_cache.h"
#include "util.h"

int cacherecord_parse(const char *base, size_t avail, struct cacherecord *rec)
{
    size_t pos = 0;

    rec->base = base;
    for (int i = 0; i < NUM_CACHE_FIELDS; i++) {
        size_t len;

        if (avail - pos < 4) return IMAP_MAILBOX_BADFORMAT;
        len = get_be32(base + pos);
        pos += 4;
        if (roundup2(len, (size_t)4) > avail - pos || pos > UINT32_MAX)
            return IMAP_MAILBOX_BADFORMAT;
        rec->item[i].offset = (uint32_t)pos;
        rec->item[i].len = (uint32_t)len;
        pos += roundup2(len, (size_t)4);
    }
    rec->len = pos;
    return 0;
}

int cacherecord_parse_crc(const char *base, size_t avail, uint32_t crc, struct cacherecord *rec)
{
    int r = cacherecord_parse(base, avail, rec);

    if (r) return r;
    return crc32_map(base, rec->len) == crc ? 0 : IMAP_MAILBOX_CHECKSUM;
}

/* ---- nstrings and lists of addresses ---- */

struct reader {
    const char *p, *end;
};

static bool take(struct reader *r, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(r->end - r->p) < len || memcmp(r->p, text, len)) return false;
    r->p += len;
    return true;
}

/* Behind '{': the bytes of a literal. */
static bool read_literal(struct reader *r, struct msgtext *t)
{
    uint32_t len;

    if (scan_u32(&r->p, r->end, &len) || !take(r, "}\r\n")) return false;
    if ((size_t)(r->end - r->p) < len) return false;
    *t = (struct msgtext){ r->p, len };
    r->p += len;
    return true;
}

static bool read_nstring(struct reader *r, struct msgtext *t)
{
    const char *quote;

    if (take(r, "NIL")) {
        *t = (struct msgtext){ NULL, 0 };
        return true;
    }
    if (take(r, "{")) return read_literal(r, t);
    if (!take(r, "\"")) return false;
    quote = memchr(r->p, '"', (size_t)(r->end - r->p));
    if (!quote) return false;
    *t = (struct msgtext){ r->p, (size_t)(quote - r->p) };
    r->p = quote + 1;
    return true;
}

static bool read_address(struct reader *r, struct rfc822_address *addr)
{
    return take(r, "(") && read_nstring(r, &addr->name) && take(r, " ") &&
           read_nstring(r, &addr->route) && take(r, " ") && read_nstring(r, &addr->mailbox) &&
           take(r, " ") && read_nstring(r, &addr->domain) && take(r, ")");
}

/* NIL or a list, as one view with its parentheses. */
static bool read_list(struct reader *r, struct msgtext *t)
{
    const char *start = r->p;
    struct rfc822_address addr;

    *t = (struct msgtext){ NULL, 0 };
    if (take(r, "NIL")) return true;
    if (!take(r, "(")) return false;
    while (!take(r, ")")) {
        if (!read_address(r, &addr)) return false;
    }
    *t = (struct msgtext){ start, (size_t)(r->p - start) };
    return true;
}

static bool is_list(int field)
{
    return field >= ENV_FROM && field <= ENV_BCC;
}

int cacheitem_parse_envelope(const char *base, size_t len,
                             struct msgtext tokens[NUM_ENVELOPE_TOKENS])
{
    struct reader r = { base, base + len };

    for (int i = 0; i < NUM_ENVELOPE_TOKENS; i++) {
        if (!take(&r, i ? " " : "(")) return IMAP_MAILBOX_BADFORMAT;
        if (!(is_list(i) ? read_list : read_nstring)(&r, &tokens[i])) return IMAP_MAILBOX_BADFORMAT;
    }
    return take(&r, ")") && r.p == r.end ? 0 : IMAP_MAILBOX_BADFORMAT;
}

bool cacheitem_next_address(struct msgtext *list, struct rfc822_address *addr)
{
    struct reader r;

    if (!list->len) return false;
    r = (struct reader){ list->s, list->s + list->len };
    /* The first parenthesis may be that of the list or already that of an address. */
    if (take(&r, "(") && r.p < r.end && *r.p != '(') r.p--;
    if (!read_address(&r, addr)) {
        *list = (struct msgtext){ NULL, 0 };
        return false;
    }
    addr->next = NULL;
    *list = (struct msgtext){ r.p, (size_t)(r.end - r.p) };
    return true;
}

int cacheitem_parse_nstring(const char *base, size_t len, struct msgtext *value)
{
    struct reader r = { base, base + len };

    return read_nstring(&r, value) && r.p == r.end ? 0 : IMAP_MAILBOX_BADFORMAT;
}
