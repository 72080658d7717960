/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seen_codec -- the bytes of a record of seen.db
 *
 * A sequence set that is none is dropped, as 3.6.1 does, and the caller told so;
 * anything else that is not a record of version 1 is IMAP_MAILBOX_BADFORMAT.
 */
#include <config.h>

#include "seen_codec.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "util.h"
#include "xmalloc.h"

void seen_freedata(struct seendata *sd)
{
    free(sd->seenuids);
    *sd = (struct seendata)SEENDATA_INITIALIZER;
}

/* A number and the space behind it. */
static bool take_number(const char **p, const char *end, uint64_t *v)
{
    if (scan_u64(p, end, v) || *p == end || **p != ' ') return false;
    (*p)++;
    return true;
}

/* Numbers and ranges with commas between them; no '*', nothing empty. */
static bool is_sequence(const char *p, const char *end)
{
    uint32_t n;

    while (p < end) {
        if (scan_u32(&p, end, &n) || !n) return false;
        if (p < end && *p == ':') {
            p++;
            if (scan_u32(&p, end, &n) || !n) return false;
        }
        if (p == end) return true;
        if (*p != ',' || ++p == end) return false;
    }
    return true;
}

int seen_decode(struct seendata *sd, const char *val, size_t len, bool *badset)
{
    const char *p = val, *end = val + len;
    uint64_t version, lastread, lastuid, lastchange;

    seen_freedata(sd);
    if (badset) *badset = false;
    if (!take_number(&p, end, &version) || version != 1 || !take_number(&p, end, &lastread) ||
        !take_number(&p, end, &lastuid) || !take_number(&p, end, &lastchange))
        return IMAP_MAILBOX_BADFORMAT;
    if (lastread > INT64_MAX || lastchange > INT64_MAX || lastuid > UINT32_MAX)
        return IMAP_MAILBOX_BADFORMAT;

    sd->lastread = (time_t)lastread;
    sd->lastuid = (uint32_t)lastuid;
    sd->lastchange = (time_t)lastchange;
    while (end > p && cyr_isspace(end[-1])) end--;
    bool ok = is_sequence(p, end);
    if (badset) *badset = !ok;
    sd->seenuids = ok ? xstrndup(p, (size_t)(end - p)) : xstrdup("");
    return 0;
}

void seen_encode(const struct seendata *sd, struct buf *out)
{
    buf_reset(out);
    buf_printf(out, "1 %lld %u %lld %s", (long long)sd->lastread, sd->lastuid,
               (long long)sd->lastchange, sd->seenuids ? sd->seenuids : "");
}
