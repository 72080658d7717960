/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netunicode -- text as it may be made a name
 *
 * ICU composes it. ASCII, of which nearly all names are, never gets that far.
 */
#include <config.h>

#include "netunicode.h"

#include <stdlib.h>

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "buf.h"
#include "utf7.h"
#include "util.h"
#include "xmalloc.h"

#define LINE_SEPARATOR 0x2028
#define PARAGRAPH_SEPARATOR 0x2029

static bool may_be_in_name(int c)
{
    return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && c != LINE_SEPARATOR && c != PARAGRAPH_SEPARATOR;
}

/* *ascii: there is nothing to compose. */
static bool check(const char *s, size_t len, bool *ascii)
{
    const char *end = s + len;

    *ascii = true;
    while (s < end) {
        int c = utf8_next(&s, end);
        if (!may_be_in_name(c)) return false;
        if (c >= 0x80) *ascii = false;
    }
    return true;
}

static void append_units(const UChar *units, int32_t len, struct buf *dst)
{
    for (int32_t i = 0; i < len;) {
        int c = units[i++];
        /* well-formed: it came from UTF-8 */
        if (c >= 0xd800 && c <= 0xdbff) c = 0x10000 + ((c - 0xd800) << 10) + (units[i++] - 0xdc00);
        utf8_append(dst, c);
    }
}

bool netunicode(const char *s, size_t len, struct buf *dst)
{
    UErrorCode err = U_ZERO_ERROR;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&err);
    int32_t nunits = 0;
    bool ascii;

    if (len > INT32_MAX / 4 || !check(s, len, &ascii)) return false;
    if (ascii) {
        buf_appendmap(dst, s, len);
        return true;
    }
    /* a unit of UTF-16 for a byte is enough; composed text has at most three times as many units (UAX #15) */
    UChar *units = xcalloc(len + 1, sizeof(*units)), *composed = xcalloc(3 * len + 1, sizeof(*composed));
    u_strFromUTF8(units, (int32_t)len + 1, &nunits, s, (int32_t)len, &err);
    int32_t n = unorm2_normalize(nfc, units, nunits, composed, 3 * (int32_t)len + 1, &err);
    if (U_SUCCESS(err)) append_units(composed, n, dst);
    free(units);
    free(composed);
    return U_SUCCESS(err);
}
