/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_args -- the arguments of an IMAP command, one by one
 *
 * s->c is always the byte behind the last token. A function that returns false has
 * answered the command (BAD, NO [TOOBIG] or BYE) and skipped the rest of it; the
 * command just returns. Texts: handbook 04 §2.1.
 */
#include <config.h>

#include "imap_session.h"
#include "index.h"

bool imap_arg_more(struct imap_session *s)
{
    if (s->c == ' ') return true;
    imap_bad(s, "Missing required argument to %s", buf_cstring(&s->cmdname));
    return false;
}

bool imap_arg_astring(struct imap_session *s, struct buf *buf)
{
    if (!imap_arg_more(s)) return false;
    s->c = getastring(s->in, s->out, buf);
    if (s->c >= 0) return true;
    imap_bad(s, "Missing required argument to %s", buf_cstring(&s->cmdname));
    return false;
}

bool imap_arg_mailbox(struct imap_session *s, extname_t *name)
{
    struct buf text = BUF_INITIALIZER;
    bool ok = imap_arg_astring(s, &text);

    extname_free(name);
    if (ok) *name = extname_dup(extname_of(buf_cstring(&text)));
    buf_free(&text);
    return ok;
}

bool imap_arg_word(struct imap_session *s, struct buf *buf)
{
    if (!imap_arg_more(s)) return false;
    s->c = getword(s->in, buf);
    if (s->c >= 0 && buf_len(buf)) return true;
    imap_bad(s, "Missing required argument to %s", buf_cstring(&s->cmdname));
    return false;
}

bool imap_arg_sequence(struct imap_session *s, struct buf *buf)
{
    if (!imap_arg_word(s, buf)) return false;
    if (imap_sequence_is_saved(buf_cstring(buf)) || imparse_issequence(buf_cstring(buf))) return true;
    imap_bad(s, "Invalid sequence in %s", buf_cstring(&s->cmdname));
    return false;
}

bool imap_sequence_is_saved(const char *text)
{
    return !strcmp(text, "$");
}

struct seqset *imap_sequence_msgnos(const struct imap_session *s, const char *text)
{
    if (!imap_sequence_is_saved(text)) return index_parse_sequence(s->index, text, s->usinguid);
    return s->saved ? index_msgnos_of(s->index, s->saved) : seqset_init(0, SEQ_SPARSE);
}

void imap_session_save(struct imap_session *s, struct seqset *uids)
{
    seqset_free(s->saved);
    s->saved = uids;
}

static bool get_place(struct imap_session *s, int64_t *place)
{
    uint32_t n;
    bool negative = prot_peek(s->in) == '-';

    if (negative) prot_getc(s->in);
    s->c = getuint32(s->in, &n);
    *place = negative ? -(int64_t)n : (int64_t)n;
    return s->c >= 0 && n;
}

bool imap_get_range(struct imap_session *s, struct imap_range *range)
{
    return s->c == ' ' && get_place(s, &range->first) && s->c == ':' && get_place(s, &range->last) &&
           (range->first < 0) == (range->last < 0);
}

void imap_range_of(const struct imap_range *range, size_t n, size_t *from, size_t *to)
{
    int64_t low = range->first, high = range->last, max = (int64_t)n;

    if (low < 0) {
        low += max + 1;
        high += max + 1;
    }
    if (low > high) {
        int64_t t = low;
        low = high;
        high = t;
    }
    if (low < 1) low = 1;
    if (high > max) high = max;
    *from = low > high ? 0 : (size_t)low - 1;
    *to = low > high ? 0 : (size_t)high;
}

bool imap_at_eol(struct imap_session *s)
{
    if (s->c == '\r') s->c = imparse_eol(s->in, s->c);
    return s->c == '\n';
}

bool imap_arg_end(struct imap_session *s)
{
    if (imap_at_eol(s)) return true;
    imap_bad(s, "Unexpected extra arguments to %s", buf_cstring(&s->cmdname));
    return false;
}

bool imap_arg_close(struct imap_session *s, struct buf *name)
{
    if (s->c != ')') {
        imap_bad(s, "Missing close parenthesis in %s", buf_cstring(name));
        return false;
    }
    s->c = prot_getc(s->in);
    return true;
}

int imap_arg_peek(struct imap_session *s)
{
    return prot_peek(s->in);
}
