/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_conversationsdb_text -- dump and undump
 *
 * Values hold any bytes, and nothing in a dump is quoted. What tells where a value ends: the one of a G record has 25
 * bytes; in the others an LF belongs to the value only behind "{N+}CR", and the N bytes after it too.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "ctl_conversationsdb.h"
#include "imap_err.h"

static int print_record(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    (void)rock;
    fwrite(key, 1, keylen, stdout);
    putchar('\t');
    fwrite(val, 1, vallen, stdout);
    putchar('\n');
    return ferror(stdout) ? IMAP_IOERROR : 0;
}

int text_dump(struct conversations_state *state)
{
    return conversations_dump(state, print_record, NULL);
}

void text_quoted(const char *label, const struct buf *b)
{
    printf("%s\"", label);
    for (size_t i = 0; i < buf_len(b); i++) {
        unsigned char c = (unsigned char)buf_base(b)[i];
        if (c < ' ' || c >= 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

/* ---- undump ---- */

/* Bytes of the literal that the line before end announces with "{N+}CR"; 0: none. */
static size_t literal_length(const char *line, const char *end)
{
    const char *p = end;
    size_t n = 0, unit = 1;

    if (p - line < 5 || *--p != '\r' || *--p != '}' || *--p != '+') return 0;
    for (; p > line && p[-1] >= '0' && p[-1] <= '9' && unit < 1000000000; p--, unit *= 10)
        n += (size_t)(p[-1] - '0') * unit;
    return p > line && p[-1] == '{' ? n : 0;
}

/* The end of the value at val: its LF; NULL: there is none. */
static const char *value_end(const char *key, const char *val, const char *end)
{
    if (*key == 'G' && end - val > CONV_GUIDREC_VALUE_SIZE && (*val & 0x80) &&
        val[CONV_GUIDREC_VALUE_SIZE] == '\n')
        return val + CONV_GUIDREC_VALUE_SIZE;
    for (const char *line = val;;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf) return NULL;
        size_t literal = literal_length(line, lf);
        if (!literal) return lf;
        if (literal > (size_t)(end - lf - 1)) return NULL;
        line = lf + 1 + literal;
    }
}

static int read_all(int fd, struct buf *all)
{
    char bytes[65536];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) buf_appendmap(all, bytes, (size_t)n);
    return n < 0 ? IMAP_IOERROR : 0;
}

int text_undump(struct conversations_state *state, size_t *where)
{
    struct buf all = BUF_INITIALIZER;
    int r = read_all(STDIN_FILENO, &all);

    *where = 0;
    while (!r && *where < buf_len(&all)) {
        const char *key = buf_base(&all) + *where, *end = buf_base(&all) + buf_len(&all);
        const char *tab = memchr(key, '\t', (size_t)(end - key));
        const char *lf = tab && tab > key ? value_end(key, tab + 1, end) : NULL;
        if (!lf || memchr(key, '\n', (size_t)(tab - key))) {
            r = IMAP_MAILBOX_BADFORMAT;
            break;
        }
        r = conversations_load(state, key, (size_t)(tab - key), tab + 1, (size_t)(lf - tab - 1));
        if (!r) *where += (size_t)(lf + 1 - key);
    }
    buf_free(&all);
    return r;
}
