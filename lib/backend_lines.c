/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend_lines -- commands and answers on client connections
 *
 * An answer is bounded: 64 KB a line, 1 MB where IMAP puts literals into it. What is longer, or
 * is no answer of the protocol, breaks the connection, as the place in the stream is lost.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "backend_protocol.h"
#include "imap_err.h"
#include "util.h"

#define MAXLINE 65536
#define MAXANSWER (1024 * 1024)

const char *backend_cause(const struct backend *b)
{
    const char *err = prot_error(b->in);

    if (!err) err = prot_error(b->out);
    return err ? err : "connection lost";
}

int backend_getline(struct backend *b, struct buf *line)
{
    return prot_getline(b->in, line, MAXLINE) ? IMAP_SERVER_UNAVAILABLE : 0;
}

bool backend_prefix(const struct buf *line, const char *prefix)
{
    return prefix && line->len >= strlen(prefix) &&
           memcaseeq(line->s, strlen(prefix), prefix, strlen(prefix));
}

void backend_send(struct backend *b, const struct backend_command *cmd)
{
    const char *arg = strstr(cmd->text, "%s");

    if (arg) {
        prot_write(b->out, cmd->text, (size_t)(arg - cmd->text));
        prot_puts(b->out, b->host);
        prot_puts(b->out, arg + 2);
    }
    else {
        prot_puts(b->out, cmd->text);
    }
    prot_puts(b->out, "\r\n");
    prot_flush(b->out);
}

/* The tag of an answer to cmd: everything up to the last blank of its ok. */
static bool is_for(const struct buf *line, const struct backend_command *cmd)
{
    const char *space = strchr(cmd->ok, ' ');

    if (!space) return !strstarts(line->s, "* ");
    return line->len >= (size_t)(space - cmd->ok) &&
           !memcmp(line->s, cmd->ok, (size_t)(space - cmd->ok) + 1);
}

int backend_command(struct backend *b, const struct backend_command *cmd, struct buf *text)
{
    struct buf line = BUF_INITIALIZER;
    int r = IMAP_PROTOCOL_ERROR;

    backend_send(b, cmd);
    do {
        if (backend_getline(b, &line)) {
            buf_free(&line);
            if (text) buf_setcstr(text, backend_cause(b));
            return IMAP_SERVER_UNAVAILABLE;
        }
    } while (!is_for(&line, cmd));
    if (backend_prefix(&line, cmd->ok))
        r = 0;
    else if (!cmd->fail || backend_prefix(&line, cmd->fail))
        r = IMAP_REMOTE_DENIED;
    if (text) buf_copy(text, &line);
    buf_free(&line);
    return r;
}

/* ---- IMAP ---- */

static int broken(struct backend *b, const char *text)
{
    prot_seterror(b->in, EPROTO, text);
    return IMAP_PROTOCOL_ERROR;
}

/* The line ends in "{n}" or "{n+}". */
static bool ends_in_literal(const struct buf *line, size_t from, uint64_t *size)
{
    const char *start = line->s + from, *end = line->s + line->len, *p;

    if (end == start || *--end != '}') return false;
    if (end > start && end[-1] == '+') end--;
    for (p = end; p > start && cyr_isdigit(p[-1]); p--) continue;
    return p > start && p[-1] == '{' && !parse_u64(p, (size_t)(end - p), size);
}

/* One answer, with its literals: "... {n}" CR LF, n bytes, and on. */
static int read_answer(struct backend *b, struct buf *answer)
{
    struct buf line = BUF_INITIALIZER;
    uint64_t size;
    int r = 0;

    buf_reset(answer);
    for (;;) {
        size_t from = answer->len;
        if (prot_getline(b->in, &line, MAXANSWER)) {
            r = IMAP_SERVER_UNAVAILABLE;
            break;
        }
        buf_append(answer, &line);
        buf_cstring(answer);
        if (!ends_in_literal(answer, from, &size)) break;
        if (size > MAXANSWER || answer->len + size > MAXANSWER) {
            r = broken(b, "answer too long");
            break;
        }
        buf_appendcstr(answer, "\r\n");
        if (prot_readbuf(b->in, answer, (size_t)size)) {
            r = IMAP_SERVER_UNAVAILABLE;
            break;
        }
    }
    buf_cstring(answer);
    buf_free(&line);
    return r;
}

static void set_text(struct buf *text, const char *s)
{
    if (!text) return;
    buf_setcstr(text, s);
    buf_cstring(text);
}

/* "OK words": 0 or the error. */
static int status(struct backend *b, const char *s, struct buf *text)
{
    static const struct {
        const char *word;
        int r;
    } words[] = { { "OK", 0 }, { "NO", IMAP_REMOTE_DENIED }, { "BAD", IMAP_PROTOCOL_ERROR } };

    for (size_t i = 0; i < array_size(words); i++) {
        size_t len = strlen(words[i].word);
        if (cyr_strncasecmp(s, words[i].word, len) || (s[len] && s[len] != ' ')) continue;
        set_text(text, s[len] ? s + len + 1 : "");
        return words[i].r;
    }
    set_text(text, s);
    return broken(b, "not an IMAP answer");
}

int backend_imapcmd(struct backend *b, backend_untagged *cb, void *rock, struct buf *text,
                    const char *fmt, ...)
{
    struct buf line = BUF_INITIALIZER;
    char tag[16];
    va_list ap;
    int r;

    size_t taglen = (size_t)snprintf(tag, sizeof(tag), "B%u ", ++b->tag);
    prot_puts(b->out, tag);
    va_start(ap, fmt);
    prot_vprintf(b->out, fmt, ap);
    va_end(ap);
    prot_puts(b->out, "\r\n");
    prot_flush(b->out);
    for (;;) {
        r = read_answer(b, &line);
        if (r) {
            set_text(text, backend_cause(b));
            break;
        }
        if (line.len >= taglen && !memcmp(line.s, tag, taglen)) {
            r = status(b, line.s + taglen, text);
            break;
        }
        if (cb && strstarts(line.s, "* ")) cb(rock, line.s + 2, line.len - 2);
    }
    buf_free(&line);
    return r;
}

/* ---- LMTP ---- */

/* "250-text" or "250 text": the code, or -1. */
static int reply_code(const struct buf *line)
{
    uint32_t code;

    if (line->len < 3 || parse_u32(line->s, 3, &code) || code < 200 || code > 599) return -1;
    return line->len == 3 || line->s[3] == ' ' || line->s[3] == '-' ? (int)code : -1;
}

int backend_smtpcmd(struct backend *b, int *code, struct buf *text, const char *fmt, ...)
{
    struct buf line = BUF_INITIALIZER;
    bool more = true;
    va_list ap;
    int r = 0;

    *code = 0;
    if (text) buf_reset(text);
    if (fmt) {
        va_start(ap, fmt);
        prot_vprintf(b->out, fmt, ap);
        va_end(ap);
        prot_puts(b->out, "\r\n");
    }
    prot_flush(b->out);
    while (!r && more) {
        r = backend_getline(b, &line);
        int c = r ? 0 : reply_code(&line);
        if (c < 0 || (*code && !r && c != *code)) r = broken(b, "not an LMTP reply");
        if (r) break;
        *code = c;
        more = line.len > 3 && line.s[3] == '-';
        if (text && text->len) buf_putc(text, '\n');
        if (text && line.len > 4) buf_appendmap(text, line.s + 4, line.len - 4);
    }
    if (text) buf_cstring(text);
    buf_free(&line);
    return r;
}
