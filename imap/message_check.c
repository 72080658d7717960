/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_check -- what may become a stored message (handbook 02 §6.1)
 */
#include <config.h>

#include "message_check.h"

#include <string.h>

#include "imap_err.h"
#include "utf7.h"
#include "util.h"

/* The line end behind p: the LF, or NULL. */
static const char *find_lf(const char *p, const char *end)
{
    return memchr(p, '\n', (size_t)(end - p));
}

/* Is the field name at the start of the line good? Up to its colon; a line without one is not. */
static bool name_is_good(const char *line, const char *end, unsigned flags)
{
    const char *p = line;

    if (end - line >= 5 && !memcmp(line, "From ", 5)) return true;
    for (; p < end && *p != ':'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c <= ' ' || (flags & MESSAGE_CHECK_LMTP && c > 126)) return false;
    }
    return p < end && p > line;
}

/* Every line up to one that begins with a CR must have a good name and an end. */
static int check_names(const char *p, const char *end, unsigned flags)
{
    while (p < end && *p != '\r') {
        const char *lf = find_lf(p, end);

        if (*p != ' ' && *p != '\t' && !name_is_good(p, lf ? lf : end, flags))
            return IMAP_MESSAGE_BADHEADER;
        if (!lf) return IMAP_MESSAGE_BADHEADER;
        p = lf + 1;
    }
    return 0;
}

/* No NULs, no LF alone. */
static int check_bytes(const char *p, const char *end)
{
    while (p < end) {
        const char *lf = find_lf(p, end), *stop = lf ? lf : end;

        if (memchr(p, '\0', (size_t)(stop - p))) return IMAP_MESSAGE_CONTAINSNULL;
        if (lf && (lf == p || lf[-1] != '\r')) return IMAP_MESSAGE_CONTAINSNL;
        p = lf ? lf + 1 : end;
    }
    return 0;
}

/* Is the line [p, lf] empty? CRs alone make none. */
static bool is_empty_line(const char *p, const char *lf)
{
    while (p < lf && *p == '\r') p++;
    return p == lf;
}

/* The end of the header: of the line in front of the first empty one. */
static const char *header_end(const char *base, size_t len)
{
    const char *p = base, *end = base + len;

    while (p < end) {
        const char *lf = find_lf(p, end);

        if (!lf) return end;
        if (is_empty_line(p, lf)) break;
        p = lf + 1;
    }
    return p;
}

bool message_header_has8bit(const char *base, size_t len)
{
    const char *end = header_end(base, len);

    for (const char *p = base; p < end; p++) {
        if ((unsigned char)*p >= 0x80) return true;
    }
    return false;
}

bool message_header_isutf8(const char *base, size_t len)
{
    return utf8_isvalid(base, (size_t)(header_end(base, len) - base));
}

int message_check(const char *base, size_t len, unsigned flags)
{
    const char *end = base + len, *checked = end;
    int r;

    if (!len) return IMAP_ZERO_LENGTH_LITERAL;
    if (flags & MESSAGE_CHECK_BINARY) checked = header_end(base, len);
    r = check_bytes(base, checked);
    if (!r && (flags & MESSAGE_CHECK_REJECT8BIT) && message_header_has8bit(base, len))
        r = IMAP_MESSAGE_CONTAINS8BIT;
    return r ? r : check_names(base, end, flags);
}

void message_munge8bit(char *base, size_t len)
{
    size_t header = (size_t)(header_end(base, len) - base);

    for (size_t i = 0; i < header; i++) {
        if ((unsigned char)base[i] >= 0x80) base[i] = 'X';
    }
}
