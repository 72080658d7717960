/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_send -- messages in multi-line answers (RFC 1939 §3)
 *
 * The mapped bytes go to the stream in pieces between the dots that have to be doubled, so a
 * large message is never copied as a whole.
 */
#include <config.h>

#include <string.h>

#include "pop3_session.h"

/* Behind the line that begins at p. */
static const char *next_line(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));

    return lf ? lf + 1 : end;
}

static bool is_blank(const char *p, const char *end)
{
    return *p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n');
}

size_t pop3_top_length(const char *base, size_t len, uint32_t lines)
{
    if (!len) return 0; /* base may be NULL */
    const char *p = base, *end = base + len;
    bool in_header = true;

    while (p < end && (in_header || lines)) {
        if (!in_header)
            lines--;
        else if (is_blank(p, end))
            in_header = false;
        p = next_line(p, end);
    }
    return (size_t)(p - base);
}

void pop3_send_message(struct protstream *out, const char *base, size_t len)
{
    if (!len) base = "";
    const char *p = base, *end = base + len;

    while (p < end && !prot_error(out)) {
        if (*p == '.') prot_putc('.', out); /* p is at the start of a line */
        const char *dot = memmem(p, (size_t)(end - p), "\n.", 2);
        const char *next = dot ? dot + 1 : end;
        prot_write(out, p, (size_t)(next - p));
        p = next;
    }
    if (len && end[-1] != '\n') prot_puts(out, "\r\n");
    prot_puts(out, ".\r\n");
}
