/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * POP3: any bytes as a stream of commands, taken apart as a session does it, and any bytes as a
 * message to be sent. What is sent must come back when the dots are taken out again, and must hold
 * its own end nowhere before the end.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pop3_session.h"

static void commands(const char *base, size_t len)
{
    struct protstream *in = prot_readmap(base, len);
    struct buf line = BUF_INITIALIZER;

    while (!prot_getline(in, &line, POP3_MAX_LINE)) {
        struct pop3_line parsed;
        uint32_t number;
        if (!pop3_parse_line(&line, &parsed)) continue;
        if (strlen(parsed.verb) > buf_len(&line)) abort();
        pop3_command_find(parsed.verb);
        const char *p = parsed.args;
        while (p && pop3_parse_number(&p, &number) && *p) continue;
    }
    buf_free(&line);
    prot_free(in);
}

/* Reads it as a client does. */
static void unstuff(const char *base, size_t len, struct buf *message)
{
    const char *p = base, *end = base + len;

    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf) abort();
        if (lf - p == 2 && !memcmp(p, ".\r\n", 3)) {
            if (lf + 1 != end) abort();
            return;
        }
        if (*p == '.') p++;
        buf_appendmap(message, p, (size_t)(lf + 1 - p));
        p = lf + 1;
    }
    abort();
}

static void message(const char *base, size_t len)
{
    struct buf wire = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct protstream *out = prot_writebuf(&wire);

    if (pop3_top_length(base, len, 3) > len) abort();
    pop3_send_message(out, base, len);
    prot_flush(out);
    unstuff(buf_base(&wire), buf_len(&wire), &got);
    bool added = len && base[len - 1] != '\n';
    if (buf_len(&got) != len + (added ? 2 : 0)) abort();
    if (len && memcmp(buf_base(&got), base, len) != 0) abort();
    prot_free(out);
    buf_free(&wire);
    buf_free(&got);
}

void fuzz_pop3(const uint8_t *data, size_t size)
{
    commands((const char *)data, size);
    message((const char *)data, size);
}
