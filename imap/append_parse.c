/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_parse -- the messages of an APPEND command
 *
 * Literals are read to their end before anything is judged but their size, so the
 * stream stays in step. Errors and texts: handbook 04 §3.10.
 */
#include <config.h>

#include <stdlib.h>

#include "annotate.h"
#include "append_parse.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "times.h"
#include "xmalloc.h"

void append_refuse_literal(struct imap_session *s, const struct imparse_literal *lit)
{
    if (!lit->nonsync) {
        s->c = '\n'; /* nobody asked for it: the command ends here */
        return;
    }
    if (prot_skip(s->in, lit->size))
        s->c = IMPARSE_EOF;
    else
        s->c = prot_getc(s->in);
}

bool append_read_literal(struct imap_session *s, const struct imparse_literal *lit,
                         struct spool *spool)
{
    uint64_t left = lit->size;
    int r = 0;

    if (imparse_goahead(s->out, lit)) {
        s->closing = true;
        return false;
    }
    while (left) {
        const char *base;
        size_t n = prot_readview(s->in, &base, left > SIZE_MAX ? SIZE_MAX : (size_t)left);
        if (!n) {
            s->c = IMPARSE_EOF;
            s->closing = true;
            return false;
        }
        if (!r) r = spool_add(spool, base, n);
        left -= n;
    }
    s->c = prot_getc(s->in);
    if (r) imap_result(s, r);
    return !r;
}

static bool too_big(const struct imap_session *s, uint64_t size)
{
    return size > UINT32_MAX || (s->options->maxmessagesize && size > s->options->maxmessagesize);
}

/* Its bytes are the whole message. */
static bool take_literal(struct imap_session *s, struct append_message *msg, const struct imparse_literal *lit)
{
    if (lit->size && !too_big(s, lit->size)) return append_read_literal(s, lit, &msg->spool);
    append_refuse_literal(s, lit);
    if (lit->size)
        imap_no(s, "[TOOBIG] %s", error_message(IMAP_MESSAGE_TOO_LARGE));
    else
        imap_result(s, IMAP_ZERO_LENGTH_LITERAL);
    return false;
}

static bool literal(struct imap_session *s, struct append_message *msg)
{
    struct imparse_literal lit;

    int r = getliteralheader(s->in, &lit);
    if (r) {
        s->c = r;
        imap_bad(s, "Invalid literal in Append command");
        return false;
    }
    msg->binary = lit.binary;
    msg->utf8_allowed = s->rev2;
    return take_literal(s, msg, &lit);
}

bool append_utf8_header(struct imap_session *s, struct imparse_literal *lit)
{
    int r = s->c == ' ' && (s->c = prot_getc(s->in)) == '(' ? getliteralheader(s->in, lit) : IMPARSE_BAD;

    if (!r && lit->binary && s->ns.utf8) return true;
    if (r)
        s->c = r;
    else
        append_refuse_literal(s, lit);
    if (r || !lit->binary)
        imap_bad(s, "Invalid literal in Append command");
    else
        imap_no(s, "[CANNOT] UTF8=ACCEPT is not enabled");
    return false;
}

static bool utf8_literal(struct imap_session *s, struct append_message *msg)
{
    struct imparse_literal lit;

    msg->utf8 = msg->utf8_allowed = true;
    if (!append_utf8_header(s, &lit) || !take_literal(s, msg, &lit)) return false;
    return imap_arg_close(s, &s->cmdname);
}

/* Behind '('. */
static bool flags(struct imap_session *s, struct append_message *msg)
{
    struct buf flag = BUF_INITIALIZER;
    bool ok = true;

    do {
        s->c = getword(s->in, &flag);
        if (!buf_len(&flag) && s->c == ')') break;
        const char *f = buf_cstring(&flag);
        ok = s->c >= 0 && (*f == '\\' ? index_system_flag_bit(f) != 0 : imparse_isatom(f));
        if (ok) strarray_add_case(&msg->flags, f);
    } while (ok && s->c == ' ');
    if (!ok)
        imap_bad(s, "Invalid flag in Append command");
    else if (s->c != ')') {
        imap_bad(s, "Missing space or ) after flag name in Append command");
        ok = false;
    }
    else
        s->c = prot_getc(s->in);
    buf_free(&flag);
    return ok;
}

static bool date(struct imap_session *s, struct append_message *msg)
{
    struct buf text = BUF_INITIALIZER;

    s->c = getqstring(s->in, &text);
    bool ok = s->c >= 0 && !time_from_rfc3501(text.s, text.len, &msg->internaldate, NULL);
    if (!ok) imap_bad(s, "Invalid date-time in Append command");
    buf_free(&text);
    return ok;
}

/* The byte behind the next blank, on the stream still; -1: answered. */
static int next(struct imap_session *s)
{
    if (s->c == ' ') return prot_peek(s->in);
    imap_bad(s, "Missing required argument to Append command");
    return -1;
}

/* ANNOTATION (...), CATENATE (...) or UTF8 (...): *done when the message is complete. */
static bool word(struct imap_session *s, struct append_message *msg, bool *done)
{
    struct buf w = BUF_INITIALIZER;
    bool ok = false;

    s->c = getword(s->in, &w);
    buf_ucase(&w);
    if (!buf_cmpcstr(&w, "ANNOTATION")) {
        ok = imap_parse_annotations(s, &msg->annotations);
    }
    else if (!buf_cmpcstr(&w, "CATENATE")) {
        ok = append_catenate(s, msg);
        *done = true;
    }
    else if (!buf_cmpcstr(&w, "UTF8")) {
        ok = utf8_literal(s, msg);
        *done = true;
    }
    else
        imap_bad(s, "Missing required argument to Append command");
    buf_free(&w);
    return ok;
}

static bool one_message(struct imap_session *s, struct append_message *msg)
{
    bool done = false;
    int ch = next(s);

    if (ch == '(') {
        prot_getc(s->in);
        if (!flags(s, msg)) return false;
        ch = next(s);
    }
    if (ch == '"') {
        if (!date(s, msg)) return false;
        ch = next(s);
    }
    while (ch >= 0 && cyr_isalpha((char)ch)) {
        if (!word(s, msg, &done)) return false;
        if (done) return true;
        ch = next(s);
    }
    if (ch < 0) return false;
    if (ch == '{' || ch == '~') return literal(s, msg);
    s->c = prot_getc(s->in);
    imap_bad(s, "Missing required argument to Append command");
    return false;
}

bool append_parse(struct imap_session *s, struct append_message **list)
{
    struct append_message **tail = list;

    do {
        struct append_message *msg = xzmalloc(sizeof(*msg));
        spool_init(&msg->spool);
        *tail = msg;
        tail = &msg->next;
        if (!one_message(s, msg)) return false;
    } while (!imap_at_eol(s));
    return true;
}

void append_messages_free(struct append_message **list)
{
    while (*list) {
        struct append_message *msg = *list;
        *list = msg->next;
        spool_fini(&msg->spool);
        strarray_fini(&msg->flags);
        entryattlist_free(&msg->annotations);
        free(msg);
    }
}
