/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_parse -- the parts of a POP3 command line (RFC 1939 §3)
 *
 * A line is bounded by its reader. Bytes above 127 may stand in names and passwords.
 */
#include <config.h>

#include <string.h>

#include "pop3_session.h"
#include "util.h"

bool pop3_parse_line(struct buf *line, struct pop3_line *parsed)
{
    char *text, *blank;

    buf_cstring(line);
    text = line->s;
    if (strlen(text) != buf_len(line)) return false;
    blank = strchr(text, ' ');
    if (blank) *blank++ = '\0';
    *parsed = (struct pop3_line){ .verb = text, .args = blank };
    return true;
}

bool pop3_parse_number(const char **p, uint32_t *number)
{
    const char *start = *p + strspn(*p, " ");
    size_t digits = strspn(start, "0123456789");

    if (!digits || parse_u32(start, digits, number)) return false;
    *p = start + digits;
    return true;
}
